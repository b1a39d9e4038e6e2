//! Products `x·Wᵀ` with the weight laid out in panels. Each element is one sum in the order of the
//! inner index, whatever the number of rows, and the weight is read once, front to back.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{SharedUnwritten, unwritten, written};

/// Number of multiplications below which a product stays on one thread.
const PARALLEL_FROM: usize = 1 << 19;
/// Number of tasks per thread.
const TASKS_PER_THREAD: usize = 3;
/// Number of rows in one tile. With two vectors per row and two for the weight, a tile fits the
/// registers of AVX-512; half of the rows fit those of AVX2.
const TILE: usize = 12;
/// Number of elements by which prefetching runs ahead. The loops are too short for the processor to
/// prefetch by itself.
const AHEAD: usize = 512;

/// A weight `[output, input]` in blocks of as many outputs as two vectors hold. In each block the
/// outputs' elements lie side by side, input by input, with zeros beyond the last output.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    data: Vec<f32>,
    input: usize,
    output: usize,
    wide: usize,
}

impl Panels {
    pub(crate) fn new(weight: &[f32], [output, input]: [usize; 2]) -> Self {
        assert_eq!(weight.len(), output * input, "weight of another size");
        let wide = pulp::Arch::new().dispatch(PanelWidth);
        let mut data = vec![0.0; output.div_ceil(wide) * wide * input];
        data.par_chunks_mut((wide * input).max(1))
            .zip(weight.par_chunks((wide * input).max(1)))
            .for_each(|(panel, weight)| {
                for (k, panel) in panel.chunks_exact_mut(wide).enumerate() {
                    let column = weight.iter().skip(k).step_by(input);
                    for (place, element) in panel.iter_mut().zip(column) {
                        *place = *element;
                    }
                }
            });
        Self {
            data,
            input,
            output,
            wide,
        }
    }

    pub(crate) fn output(&self) -> usize {
        self.output
    }

    fn panels(&self) -> usize {
        self.output.div_ceil(self.wide)
    }
}

/// Computes `x·Wᵀ + b` for every weight; `x` is `rows × input`, each result `rows × output`.
pub(crate) fn products(
    x: &[f32],
    rows: usize,
    weights: &[(&Panels, Option<&[f32]>)],
) -> Vec<Vec<f32>> {
    let mut results: Vec<Box<[MaybeUninit<f32>]>> = weights
        .iter()
        .map(|(weight, bias)| {
            assert_eq!(x.len(), rows * weight.input, "x of another size");
            let fits = bias.is_none_or(|bias| bias.len() == weight.output);
            assert!(fits, "bias of another size");
            unwritten(rows * weight.output)
        })
        .collect();
    let outs: Vec<_> = results
        .iter_mut()
        .map(|result| SharedUnwritten::new(result))
        .collect();
    let panels: usize = weights.iter().map(|(weight, _)| weight.panels()).sum();
    let work: usize = weights
        .iter()
        .map(|(weight, _)| rows * weight.data.len())
        .sum();
    let wanted = match work < PARALLEL_FROM {
        true => 1,
        false => TASKS_PER_THREAD * rayon::current_num_threads(),
    };
    let size = panels.div_ceil(wanted).max(1);
    let mut tasks = Vec::new();
    for (&(weight, bias), &out) in weights.iter().zip(&outs) {
        for start in (0..weight.panels()).step_by(size) {
            let panels = start..weight.panels().min(start + size);
            tasks.push(Task {
                x,
                rows,
                weight,
                bias,
                out,
                panels,
            });
        }
    }
    let run = |task: Task<'_>| pulp::Arch::new().dispatch(task);
    match wanted {
        1 => tasks.into_iter().for_each(run),
        _ => tasks.into_par_iter().with_max_len(1).for_each(run),
    }
    // SAFETY: the tasks' panels are all panels of every weight, and each task writes its columns of
    // every row.
    #[allow(unsafe_code)]
    let results = results.into_iter().map(|result| unsafe { written(result) });
    results.collect()
}

struct PanelWidth;

impl WithSimd for PanelWidth {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        2 * S::F32_LANES
    }
}

struct Task<'a> {
    x: &'a [f32],
    rows: usize,
    weight: &'a Panels,
    bias: Option<&'a [f32]>,
    out: SharedUnwritten,
    panels: Range<usize>,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let most = if S::F32_LANES >= 16 { TILE } else { TILE / 2 };
        // The tiles have about the same height.
        let height = self.rows.div_ceil(self.rows.div_ceil(most).max(1)).max(1);
        for panel in self.panels.clone() {
            for row in (0..self.rows).step_by(height) {
                macro_rules! tile {
                    ($($rows:literal)*) => {
                        match height.min(self.rows - row) {
                            $($rows => self.tile::<S, $rows>(simd, row, panel),)*
                            rows => unreachable!("a tile of {rows} rows"),
                        }
                    };
                }
                tile!(1 2 3 4 5 6 7 8 9 10 11 12);
            }
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    #[allow(unsafe_code)]
    fn tile<S: Simd, const M: usize>(&self, simd: S, row: usize, panel: usize) {
        let Panels {
            data,
            input,
            output,
            wide,
        } = self.weight;
        let (input, output, wide, lanes) = (*input, *output, *wide, S::F32_LANES);
        assert_eq!(wide, 2 * lanes, "packed for another processor");
        let columns = panel * wide..output.min((panel + 1) * wide);
        let x = &self.x[row * input..(row + M) * input];
        let weight = &data[panel * wide * input..(panel + 1) * wide * input];
        let mut sums = [[simd.splat_f32s(0.0); 2]; M];
        // SAFETY: `x` has M rows of `input` elements, and `weight` has `input` rows of two vectors.
        // Vectors are read without alignment.
        unsafe {
            let rows: [*const f32; M] = std::array::from_fn(|m| x.as_ptr().add(m * input));
            for k in 0..input {
                let place = weight.as_ptr().add(k * wide);
                for line in (0..wide).step_by(16) {
                    prefetch(place.wrapping_add(AHEAD + line));
                }
                let right = [
                    place.cast::<S::f32s>().read_unaligned(),
                    place.add(lanes).cast::<S::f32s>().read_unaligned(),
                ];
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let left = simd.splat_f32s(*row.add(k));
                    sums[0] = simd.mul_add_f32s(left, right[0], sums[0]);
                    sums[1] = simd.mul_add_f32s(left, right[1], sums[1]);
                }
            }
        }
        for (m, sums) in sums.into_iter().enumerate() {
            // SAFETY: the columns of these rows belong to this task. The memory is that of a result
            // with `rows` rows of `output` elements, and the row is below `rows`.
            let out = unsafe {
                let start = (row + m) * output + columns.start;
                let start = self.out.start(start..start + columns.len());
                std::slice::from_raw_parts_mut(start.cast::<MaybeUninit<f32>>(), columns.len())
            };
            // SAFETY: two vectors have the layout of as many plain numbers.
            let sums = unsafe {
                std::slice::from_raw_parts((&raw const sums).cast::<MaybeUninit<f32>>(), wide)
            };
            out.copy_from_slice(&sums[..columns.len()]);
            if let Some(bias) = self.bias {
                for (out, bias) in out.iter_mut().zip(&bias[columns.clone()]) {
                    // SAFETY: written above.
                    let sum = unsafe { out.assume_init() };
                    out.write(sum + bias);
                }
            }
        }
    }
}

/// Prefetches a cache line that will be read; any address is allowed.
#[inline(always)]
#[allow(unsafe_code)]
fn prefetch(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is a hint and reads nothing.
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
        let value = |i: usize| ((i * 37 + 11) % 23) as f32 - 11.0;
        for [rows, input, output] in [[1, 7, 3], [5, 40, 70], [4, 16, 4], [27, 33, 130], [2, 0, 3]]
        {
            let x: Vec<f32> = (0..rows * input).map(value).collect();
            let weights = [output, 1, 32].map(|output| {
                let weight: Vec<f32> = (0..output * input).map(|i| value(i + output)).collect();
                let bias: Vec<f32> = (0..output).map(|i| value(i + 9)).collect();
                (Panels::new(&weight, [output, input]), weight, bias)
            });
            let parts: Vec<(&Panels, Option<&[f32]>)> = weights
                .iter()
                .enumerate()
                .map(|(i, (panels, _, bias))| (panels, (i != 1).then_some(bias.as_slice())))
                .collect();
            let found = products(&x, rows, &parts);
            for (y, (panels, weight, bias)) in found.iter().zip(&weights) {
                assert_eq!(y.len(), rows * panels.output);
                for (i, y) in y.iter().enumerate() {
                    let (row, column) = (i / panels.output, i % panels.output);
                    let dot: f32 = (0..input)
                        .map(|k| x[row * input + k] * weight[column * input + k])
                        .sum();
                    let bias = if panels.output == 1 {
                        0.0
                    } else {
                        bias[column]
                    };
                    assert_eq!(*y, dot + bias, "{rows}×{input}×{} at {i}", panels.output);
                }
            }
        }
    }
}
