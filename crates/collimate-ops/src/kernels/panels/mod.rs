//! Products `x·Wᵀ` with the weight laid out in panels. Each element is one sum in the order of the
//! inner index, whatever the number of rows, and the weight is read once, front to back.

mod pack;
mod read;
mod rounded;
mod tile;
mod whole;

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{SharedUnwritten, unwritten, written};
pub(crate) use pack::Panels;
use pack::Values;
use rounded::Rounded;

/// Number of multiplications below which a product stays on one thread.
const PARALLEL_FROM: usize = 1 << 19;
/// Number of tasks per thread.
const TASKS_PER_THREAD: usize = 3;

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
        .map(|(weight, _)| rows * weight.panels() * weight.wide * weight.input)
        .sum();
    let wanted = match work < PARALLEL_FROM {
        true => 1,
        false => TASKS_PER_THREAD * rayon::current_num_threads(),
    };
    let size = panels.div_ceil(wanted).max(1);
    let eight_bits = |(weight, _): &(&Panels, _)| matches!(weight.values, Values::Int8(..));
    let input = weights.iter().find(|weight| eight_bits(weight));
    let rounded = input.map(|(weight, _)| Rounded::new(x, rows, weight.input));
    let mut tasks = Vec::new();
    for (&(weight, bias), &out) in weights.iter().zip(&outs) {
        for start in (0..weight.panels()).step_by(size) {
            let panels = start..weight.panels().min(start + size);
            tasks.push(Task {
                x,
                rows,
                rounded: rounded.as_ref(),
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

/// The part of a product that belongs to some panels of a weight.
struct Task<'a> {
    x: &'a [f32],
    rows: usize,
    /// The rows of `x` for weights of 8 bits.
    rounded: Option<&'a Rounded>,
    weight: &'a Panels,
    bias: Option<&'a [f32]>,
    out: SharedUnwritten,
    panels: Range<usize>,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        assert_eq!(
            self.weight.wide,
            2 * S::F32_LANES,
            "packed for another processor"
        );
        match &self.weight.values {
            Values::F32(values) => self.run::<S, read::F32s>(simd, values),
            Values::Bf16(values) => self.run::<S, read::Bf16s>(simd, values),
            Values::Int8(values, scales) => self.run_whole(values, scales),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::half::Weight;
    use super::*;
    use crate::PackedType;

    /// Whole numbers up to 11, which every type holds.
    fn value(i: usize) -> f32 {
        ((i * 37 + 11) % 23) as f32 - 11.0
    }

    #[test]
    fn equals_a_double_loop_on_whole_numbers() {
        let types = [PackedType::F32, PackedType::Bf16];
        for (packed, [rows, input, output]) in types.into_iter().flat_map(|packed| {
            let sizes = [[1, 7, 3], [5, 40, 70], [4, 16, 4], [27, 33, 130], [2, 0, 3]];
            sizes.map(|sizes| (packed, sizes))
        }) {
            let x: Vec<f32> = (0..rows * input).map(value).collect();
            let weights = [output, 1, 32].map(|output| {
                let weight: Vec<f32> = (0..output * input).map(|i| value(i + output)).collect();
                let bias: Vec<f32> = (0..output).map(|i| value(i + 9)).collect();
                let panels = Panels::new(Weight::F32(&weight), [output, input], packed);
                (panels, weight, bias)
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

    /// A weight is stored as `scale · q` with q from −127 to 127, where the largest value of its
    /// output is 127 · scale. A row of `x` is stored in the same way, with 16383 in the place of 127.
    /// The products are those of the stored values.
    #[test]
    fn eight_bits_are_steps_of_the_largest_weight() {
        for [rows, input, output] in [[1, 33, 5], [40, 64, 37], [3, 1, 2]] {
            let x: Vec<f32> = (0..rows * input).map(|i| value(i) / 7.0).collect();
            let weight: Vec<f32> = (0..output * input)
                .map(|i| (1 + i / input) as f32 * value(i) / 3.0)
                .collect();
            let panels = Panels::new(Weight::F32(&weight), [output, input], PackedType::Int8);
            let bias: Vec<f32> = (0..output).map(value).collect();
            let [y] = &products(&x, rows, &[(&panels, Some(&bias))])[..] else {
                panic!("one result")
            };
            for column in 0..output {
                let weight = &weight[column * input..(column + 1) * input];
                let largest = weight.iter().fold(0f32, |most, w| most.max(w.abs()));
                let scale = f64::from(largest) / 127.0;
                let stored = |w: f32| match scale {
                    0.0 => 0.0,
                    scale => scale * (f64::from(w) / scale).round(),
                };
                for row in 0..rows {
                    let x = &x[row * input..(row + 1) * input];
                    let most = x.iter().fold(0f32, |most, x| most.max(x.abs()));
                    let unit = f64::from(most) / 16_383.0;
                    let rounded = |x: f32| match unit {
                        0.0 => 0.0,
                        unit => unit * (f64::from(x) / unit).round_ties_even(),
                    };
                    let dot: f64 = x
                        .iter()
                        .zip(weight)
                        .map(|(x, w)| rounded(*x) * stored(*w))
                        .sum();
                    let expected = dot + f64::from(bias[column]);
                    let found = f64::from(y[row * output + column]);
                    let size =
                        x.iter().map(|x| f64::from(x.abs())).sum::<f64>() * f64::from(largest);
                    assert!(
                        (found - expected).abs() <= 1e-5 * size.max(1.0),
                        "{found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_output_of_zeros_stays_zero() {
        let panels = Panels::new(Weight::F32(&[0.0; 6]), [2, 3], PackedType::Int8);
        assert_eq!(
            products(&[1.0, 2.0, 3.0], 1, &[(&panels, None)])[0],
            [0.0, 0.0]
        );
    }

    #[test]
    fn a_row_does_not_depend_on_other_rows() {
        let (input, output) = (70, 50);
        let weight: Vec<f32> = (0..output * input).map(|i| (i as f32).sin()).collect();
        let x: Vec<f32> = (0..40 * input).map(|i| (i as f32 * 0.7).cos()).collect();
        for packed in [PackedType::F32, PackedType::Bf16, PackedType::Int8] {
            let panels = Panels::new(Weight::F32(&weight), [output, input], packed);
            let all = &products(&x, 40, &[(&panels, None)])[0];
            for row in [0, 17, 39] {
                let x = &x[row * input..(row + 1) * input];
                let alone = &products(x, 1, &[(&panels, None)])[0];
                assert_eq!(
                    alone[..],
                    all[row * output..(row + 1) * output],
                    "{packed:?}"
                );
            }
        }
    }

    #[test]
    fn sizes_in_memory() {
        let weight = vec![1.0; 64 * 128];
        let bytes = |packed| Panels::new(Weight::F32(&weight), [64, 128], packed).bytes();
        assert_eq!(bytes(PackedType::F32), 4 * 64 * 128);
        assert_eq!(bytes(PackedType::Bf16), 2 * 64 * 128);
        assert_eq!(bytes(PackedType::Int8), 64 * 128 + 4 * 64);
    }
}
