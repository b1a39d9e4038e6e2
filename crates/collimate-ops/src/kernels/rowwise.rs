//! `x·Wᵀ` for few rows: every element is one dot product, summed in one order whatever the number
//! of rows, and the weight is read once.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::Shared;

/// Multiplications below which a product stays on one thread.
const PARALLEL_FROM: usize = 1 << 20;
/// Output columns of one task.
const COLUMNS: usize = 64;
/// Rows and columns of one block, held in registers.
const BLOCK: usize = 4;

/// `x`: `rows × input`, `weight`: `output × input`; the result is `rows × output`.
pub(crate) fn product(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    [rows, input, output]: [usize; 3],
) -> Vec<f32> {
    assert_eq!(x.len(), rows * input, "x of another size");
    assert_eq!(weight.len(), output * input, "weight of another size");
    let mut y = vec![0.0; rows * output];
    let out = Shared::new(&mut y);
    let task = |first: usize| {
        pulp::Arch::new().dispatch(Task {
            x,
            weight,
            bias,
            out,
            rows,
            input,
            output,
            columns: first..output.min(first + COLUMNS),
        });
    };
    let tasks = output.div_ceil(COLUMNS);
    if rows * input * output < PARALLEL_FROM {
        (0..tasks).for_each(|index| task(index * COLUMNS));
    } else {
        (0..tasks)
            .into_par_iter()
            .for_each(|index| task(index * COLUMNS));
    }
    y
}

struct Task<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    out: Shared,
    rows: usize,
    input: usize,
    output: usize,
    columns: std::ops::Range<usize>,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for column in self.columns.clone().step_by(BLOCK) {
            let columns = BLOCK.min(self.columns.end - column);
            for row in (0..self.rows).step_by(BLOCK) {
                let rows = BLOCK.min(self.rows - row);
                let at = [row, column];
                macro_rules! block {
                    ($rows:literal) => {
                        match columns {
                            1 => self.block::<S, $rows, 1>(simd, at),
                            2 => self.block::<S, $rows, 2>(simd, at),
                            3 => self.block::<S, $rows, 3>(simd, at),
                            _ => self.block::<S, $rows, 4>(simd, at),
                        }
                    };
                }
                match rows {
                    1 => block!(1),
                    2 => block!(2),
                    3 => block!(3),
                    _ => block!(4),
                }
            }
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    #[allow(unsafe_code)]
    fn block<S: Simd, const M: usize, const N: usize>(&self, simd: S, [row, column]: [usize; 2]) {
        let (lanes, input) = (S::F32_LANES, self.input);
        let x = &self.x[row * input..(row + M) * input];
        let weight = &self.weight[column * input..(column + N) * input];
        let mut sums = [[simd.splat_f32s(0.0); N]; M];
        let whole = input / lanes * lanes;
        for depth in (0..whole).step_by(lanes) {
            if row == 0 {
                // The block after the next: columns are too short for the processor to notice that
                // memory is read in order.
                for n in 0..N {
                    prefetch(
                        weight
                            .as_ptr()
                            .wrapping_add((n + 2 * BLOCK) * input + depth),
                    );
                }
            }
            // SAFETY: `depth + lanes <= input`, and the slices hold M and N rows of `input`
            // elements; vectors are read without alignment.
            unsafe {
                let mut right = [simd.splat_f32s(0.0); N];
                for (n, right) in right.iter_mut().enumerate() {
                    let place = weight.as_ptr().add(n * input + depth);
                    *right = place.cast::<S::f32s>().read_unaligned();
                }
                for (m, sums) in sums.iter_mut().enumerate() {
                    let place = x.as_ptr().add(m * input + depth);
                    let left = place.cast::<S::f32s>().read_unaligned();
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = simd.mul_add_f32s(left, right, *sum);
                    }
                }
            }
        }
        for (m, sums) in sums.into_iter().enumerate() {
            // SAFETY: a task writes its own columns of every row.
            let out = unsafe { self.out.part((row + m) * self.output + column, N) };
            for (n, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
                let mut total = simd.reduce_sum_f32s(sum);
                for depth in whole..input {
                    total = x[m * input + depth].mul_add(weight[n * input + depth], total);
                }
                *out = total + self.bias.map_or(0.0, |bias| bias[column + n]);
            }
        }
    }
}

/// Asks for a cache line that will be read; any address will do.
#[inline(always)]
#[allow(unsafe_code)]
fn prefetch(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which reads nothing.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_a_double_loop_on_whole_numbers() {
        for [rows, input, output] in [[1, 7, 3], [5, 40, 70], [4, 16, 4], [3, 33, 130]] {
            let value = |i: usize| ((i * 37 + 11) % 23) as f32 - 11.0;
            let x: Vec<f32> = (0..rows * input).map(value).collect();
            let weight: Vec<f32> = (0..output * input).map(|i| value(i + 5)).collect();
            let bias: Vec<f32> = (0..output).map(|i| value(i + 9)).collect();
            let y = product(&x, &weight, Some(&bias), [rows, input, output]);
            for (i, y) in y.iter().enumerate() {
                let (row, column) = (i / output, i % output);
                let dot: f32 = (0..input)
                    .map(|d| x[row * input + d] * weight[column * input + d])
                    .sum();
                assert_eq!(*y, dot + bias[column], "{rows}×{input}×{output} at {i}");
            }
        }
    }
}
