//! Row norms.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{math, unwritten, written};

/// Number of rows in one task and in one partial sum of the weight gradient.
const ROWS: usize = 64;

/// Gradients of a norm, as far as they were asked for.
#[derive(Debug, Default)]
pub(crate) struct NormGrads {
    pub(crate) x: Option<Vec<f32>>,
    pub(crate) weight: Option<Vec<f32>>,
    pub(crate) bias: Option<Vec<f32>>,
}

/// Steps of a norm besides scaling.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Centring<'a> {
    /// No centring.
    None,
    /// Subtracts the row's mean.
    Mean,
    /// Subtracts the row's mean and adds this bias to the result.
    MeanAndBias(&'a [f32]),
}

/// Per row, the subtracted mean and the factor.
pub(crate) type RowStats = Vec<[f32; 2]>;

#[inline(always)]
fn stats(row: &[f32], centred: bool, eps: f64) -> [f32; 2] {
    let width = row.len() as f32;
    let mean = if centred { math::sum(row) / width } else { 0.0 };
    let square = if centred {
        math::sum_of_squared_distances(row, mean)
    } else {
        math::dot(row, row)
    };
    let factor = 1.0 / (f64::from(square) / f64::from(width) + eps).sqrt();
    [mean, factor as f32]
}

/// Computes the norm of each row of `x`.
pub(crate) fn forward(
    x: &[f32],
    weight: &[f32],
    centring: Centring<'_>,
    eps: f64,
) -> (Vec<f32>, RowStats) {
    let width = weight.len();
    assert!(x.len().is_multiple_of(width), "rows of another width");
    if let Centring::MeanAndBias(bias) = centring {
        assert_eq!(bias.len(), width, "bias of another width");
    }
    let centred = !matches!(centring, Centring::None);
    let mut y = unwritten(x.len());
    let mut saved = vec![[0.0; 2]; x.len() / width];
    let tasks = y
        .par_chunks_mut(ROWS * width)
        .zip(saved.par_chunks_mut(ROWS));
    tasks
        .zip(x.par_chunks(ROWS * width))
        .for_each(|((y, saved), x)| {
            math::vectorised(
                #[inline(always)]
                || {
                    let rows = y.chunks_exact_mut(width).zip(x.chunks_exact(width));
                    for ((y, x), saved) in rows.zip(saved) {
                        let [mean, factor] = stats(x, centred, eps);
                        *saved = [mean, factor];
                        match centring {
                            Centring::None => {
                                for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                                    y.write(x * factor * w);
                                }
                            }
                            Centring::Mean => {
                                for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                                    y.write((x - mean) * factor * w);
                                }
                            }
                            Centring::MeanAndBias(bias) => {
                                for (((y, x), w), b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                                    y.write(((x - mean) * factor).mul_add(*w, *b));
                                }
                            }
                        }
                    }
                },
            );
        });
    // SAFETY: rows are as wide as `weight` and `bias`, so the loops above write every element of
    // each row.
    #[allow(unsafe_code)]
    let y = unsafe { written(y) };
    (y, saved)
}

/// Computes the gradients of [`forward`] for the inputs marked in `wanted` (x, weight, bias).
pub(crate) fn backward(
    x: &[f32],
    weight: &[f32],
    saved: &[[f32; 2]],
    grad: &[f32],
    centred: bool,
    wanted: [bool; 3],
) -> NormGrads {
    let width = weight.len();
    let mut dx = unwritten(if wanted[0] { x.len() } else { 0 });
    let tasks = x.len().div_ceil(ROWS * width);
    // Each task has one partial sum; they are added in task order below.
    let sums = usize::from(wanted[1]) + usize::from(wanted[2]);
    let mut partial = vec![0.0f32; tasks * sums * width];
    let shared_dx = super::SharedUnwritten::new(&mut dx);
    let shared_partial = super::Shared::new(&mut partial);
    (0..tasks).into_par_iter().for_each(|task| {
        let start = task * ROWS * width;
        let end = (start + ROWS * width).min(x.len());
        // SAFETY: each task has its own rows and its own partial sums.
        #[allow(unsafe_code)]
        let (dx, partial) = unsafe {
            let rows = if wanted[0] { start..end } else { 0..0 };
            let dx = shared_dx.start(rows.clone()).cast::<MaybeUninit<f32>>();
            (
                std::slice::from_raw_parts_mut(dx, rows.len()),
                shared_partial.part(task * sums * width, sums * width),
            )
        };
        let (dw, db) = partial.split_at_mut(if wanted[1] { width } else { 0 });
        math::vectorised(
            #[inline(always)]
            || {
                for (r, (x, g)) in x[start..end]
                    .chunks_exact(width)
                    .zip(grad[start..end].chunks_exact(width))
                    .enumerate()
                {
                    let [mean, factor] = saved[task * ROWS + r];
                    if wanted[1] {
                        for ((dw, x), g) in dw.iter_mut().zip(x).zip(g) {
                            *dw = ((x - mean) * factor).mul_add(*g, *dw);
                        }
                    }
                    if wanted[2] {
                        for (db, g) in db.iter_mut().zip(g) {
                            *db += g;
                        }
                    }
                    if wanted[0] {
                        let dx = &mut dx[r * width..(r + 1) * width];
                        row_gradient(dx, x, g, weight, mean, factor, centred);
                    }
                }
            },
        );
    });
    let mut grads = NormGrads::default();
    let add_up = |offset: usize| {
        let mut total = vec![0.0; width];
        for chunk in partial.chunks_exact(sums * width) {
            for (total, value) in total.iter_mut().zip(&chunk[offset..offset + width]) {
                *total += value;
            }
        }
        total
    };
    grads.weight = wanted[1].then(|| add_up(0));
    grads.bias = wanted[2].then(|| add_up((sums - 1) * width));
    // SAFETY: if `dx` is wanted, the tasks' rows are all rows, and every element of each is
    // written.
    #[allow(unsafe_code)]
    let dx = unsafe { written(dx) };
    grads.x = wanted[0].then_some(dx);
    grads
}

/// Computes `dx = factor · (w·g − [mean(w·g)] − x̂ · mean(w·g·x̂))`, with the bracket if centred.
#[inline(always)]
fn row_gradient(
    dx: &mut [MaybeUninit<f32>],
    x: &[f32],
    g: &[f32],
    weight: &[f32],
    mean: f32,
    factor: f32,
    centred: bool,
) {
    let width = x.len() as f32;
    let along = math::dot3(g, weight, x);
    let plain = if centred { math::dot(g, weight) } else { 0.0 };
    let along = (along - mean * plain) * factor / width;
    let plain = plain / width;
    for (((dx, x), g), w) in dx.iter_mut().zip(x).zip(g).zip(weight) {
        let unit = (x - mean) * factor;
        dx.write(factor * (-unit).mul_add(along, g.mul_add(*w, -plain)));
    }
}
