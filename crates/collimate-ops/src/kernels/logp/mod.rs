//! Log-probabilities of target tokens and entropies, computed in blocks of rows and vocabulary. The
//! logits of a block are reduced while they are still in the processor's cache.

mod moments;
mod sizes;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use moments::{Moments, moments};
pub(crate) use sizes::Sizes;

use super::gemm::{Matrix, product_alone, product_alone_at};
use super::half::Weight;
use super::scratch::Scratch;
use super::{Shared, SharedUnwritten, math, unwritten, written, zeros};

/// Number of parts of the vocabulary. Each part sums its contributions to the hidden states'
/// gradient separately.
const PARTS: usize = 8;

/// Values that forward keeps for backward.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    rows: Vec<Moments>,
    /// Values of the last rows, block by block. If [`Sizes::needs_logits`], these are (capped)
    /// logits. Otherwise they are exponentials relative to the block's largest logit, with the
    /// largest logits.
    kept: Arc<Mutex<Option<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    values: Scratch,
    /// Largest logits, by block and then by kept row.
    largest: Vec<f32>,
    first: usize,
}

/// Computes, per row, the log-probability of its target and, if asked for, the entropy. `keep` is
/// true if a backward pass may follow.
pub(crate) fn forward(
    hidden: &[f32],
    weight: Weight<'_>,
    targets: &[usize],
    sizes: Sizes,
    keep: bool,
) -> (Vec<f32>, Saved) {
    let Sizes {
        rows,
        vocab,
        entropy,
        ..
    } = sizes;
    let outputs = sizes.outputs();
    let first = if keep { sizes.kept_from() } else { rows };
    let mut values = Scratch::new((rows - first) * vocab);
    let mut largest = vec![0.0; sizes.blocks() * (rows - first)];
    let place = Shared::new(&mut values);
    let mut out = vec![0.0; rows * outputs];
    let mut saved = vec![Moments::default(); rows];
    for chunk in sizes.chunks() {
        let task = |block: usize, z: &mut [f32]| {
            let columns = sizes.columns(block);
            logits_of(hidden, weight, &chunk, &columns, sizes, z);
            let rows = z.chunks_exact_mut(columns.len()).zip(chunk.clone());
            rows.map(|(z, row)| {
                let target = targets[row].checked_sub(columns.start);
                let target = target.and_then(|target| z.get(target)).copied();
                math::vectorised(
                    #[inline(always)]
                    || (moments(z, sizes.needs_logits()), target),
                )
            })
            .collect::<Vec<(Moments, Option<f32>)>>()
        };
        let parts: Vec<_> = (0..sizes.blocks())
            .into_par_iter()
            .with_max_len(1)
            .map(|block| {
                let len = chunk.len() * sizes.columns(block).len();
                if chunk.start < first {
                    return with_own(len, |z| task(block, z));
                }
                // SAFETY: blocks of the same rows do not overlap, and neither do chunks.
                #[allow(unsafe_code)]
                let z = unsafe { place.part(sizes.kept_at(&chunk, first, block), len) };
                task(block, z)
            })
            .collect();
        for (index, row) in chunk.clone().enumerate() {
            let whole = parts.iter().map(|part| part[index].0);
            let whole = whole.reduce(Moments::and).unwrap_or_default();
            let target = parts.iter().find_map(|part| part[index].1);
            let target = target.expect("targets lie in the vocabulary");
            out[row * outputs] = (target - whole.max) - whole.sum.ln();
            if entropy {
                out[row * outputs + 1] = whole.entropy();
            }
            saved[row] = whole;
            if row >= first {
                for (block, part) in parts.iter().enumerate() {
                    largest[block * (rows - first) + row - first] = part[index].0.max;
                }
            }
        }
    }
    let kept = (first < rows).then_some(Kept {
        values,
        largest,
        first,
    });
    let saved = Saved {
        rows: saved,
        kept: Arc::new(Mutex::new(kept)),
    };
    (out, saved)
}

thread_local! {
    /// Memory for the logits of a block that is not kept.
    static OWN: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with memory of unspecified content. `work` must not wait for other threads.
fn with_own<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    OWN.with_borrow_mut(|own| {
        own.resize(len.max(own.len()), 0.0);
        work(&mut own[..len])
    })
}

/// Computes the logits of the given rows and columns, capped if there is a cap.
fn logits_of(
    hidden: &[f32],
    weight: Weight<'_>,
    rows: &Range<usize>,
    columns: &Range<usize>,
    Sizes { width, softcap, .. }: Sizes,
    logits: &mut [f32],
) {
    let hidden = part(hidden, rows, width);
    weight.rows(columns, width, |weight| {
        let weight = Matrix::new(weight, columns.len(), width);
        product_alone(hidden, weight.t(), logits, false);
    });
    if let Some(cap) = softcap {
        math::vectorised(
            #[inline(always)]
            || math::soft_capped(logits, cap),
        );
    }
}

/// Returns some rows of a matrix.
fn part<'a>(matrix: &'a [f32], rows: &Range<usize>, width: usize) -> Matrix<'a> {
    let data = &matrix[rows.start * width..rows.end * width];
    Matrix::new(data, rows.len(), width)
}

/// Computes the gradients for hidden and weight, as far as they are wanted.
///
/// ```text
/// ∂logp/∂z_v = [v = target] − p_v          ∂H/∂z_v = −p_v (log p_v + H)
/// ```
///
/// Through a cap `z = c·tanh(y / c)` both are multiplied by `∂z/∂y = 1 − (z / c)²`.
pub(crate) fn backward(
    hidden: &[f32],
    weight: Weight<'_>,
    targets: &[usize],
    saved: &Saved,
    grad: &[f32],
    sizes: Sizes,
    wanted: [bool; 2],
) -> [Option<Vec<f32>>; 2] {
    let Sizes {
        rows, width, vocab, ..
    } = sizes;
    assert!(rows > 0 && vocab > 0, "log-probabilities of nothing");
    let outputs = sizes.outputs();
    // A second backward pass finds no kept logits and computes all of them again.
    let mut kept = saved
        .kept
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let first = kept.as_ref().map_or(rows, |kept| kept.first);
    let largest = kept.as_mut().map(|kept| std::mem::take(&mut kept.largest));
    let place = kept.as_mut().map(|kept| Shared::new(&mut kept.values));
    let mut d_hidden = zeros(if wanted[0] { rows * width } else { 0 });
    let mut d_weight = unwritten(if wanted[1] { vocab * width } else { 0 });
    let weight_place = SharedUnwritten::new(&mut d_weight);
    let parts = PARTS.min(sizes.blocks());
    for chunk in sizes.chunks() {
        let is_kept = chunk.start >= first;
        let work = |block: usize, z: &mut [f32], sum: &mut [f32]| {
            let columns = sizes.columns(block);
            for (z, row) in z.chunks_exact_mut(columns.len()).zip(chunk.clone()) {
                let all = saved.rows[row];
                let grad = &grad[row * outputs..(row + 1) * outputs];
                let relative = largest
                    .as_ref()
                    .filter(|_| is_kept && !sizes.needs_logits())
                    .map(|largest| largest[block * (rows - first) + row - first]);
                let target = columns.contains(&targets[row]);
                let target = target.then(|| targets[row] - columns.start);
                if let Some(cap) = sizes.softcap {
                    math::vectorised(
                        #[inline(always)]
                        || capped_slopes(z, all, target, cap, grad),
                    );
                    continue;
                }
                math::vectorised(
                    #[inline(always)]
                    || slopes(z, all, relative, grad),
                );
                if let Some(target) = target {
                    z[target] += grad[0];
                }
            }
            let d_logits = Matrix::new(z, chunk.len(), columns.len());
            if wanted[0] {
                weight.rows(&columns, width, |weight| {
                    let weight = Matrix::new(weight, columns.len(), width);
                    product_alone(d_logits, weight, sum, true);
                });
            }
            if wanted[1] {
                let hidden = part(hidden, &chunk, width);
                let at = columns.start * width..columns.end * width;
                // SAFETY: rows of the weight belong to one block, and a block belongs to one task.
                // The first chunk writes all of them without reading any.
                #[allow(unsafe_code)]
                unsafe {
                    let out = weight_place.start(at);
                    product_alone_at(d_logits.t(), hidden, out, chunk.start > 0);
                }
            }
        };
        // Blocks are added in order, in a fixed number of parts, whatever the number of threads.
        let task = |index: usize| {
            let mut sum = vec![0.0; if wanted[0] { chunk.len() * width } else { 0 }];
            let share = |index: usize| sizes.blocks() * index / parts;
            for block in share(index)..share(index + 1) {
                let columns = sizes.columns(block);
                let len = chunk.len() * columns.len();
                match place.as_ref().filter(|_| is_kept) {
                    Some(place) => {
                        // SAFETY: as in forward.
                        #[allow(unsafe_code)]
                        let z = unsafe { place.part(sizes.kept_at(&chunk, first, block), len) };
                        work(block, z, &mut sum);
                    }
                    None => with_own(len, |z| {
                        logits_of(hidden, weight, &chunk, &columns, sizes, z);
                        work(block, z, &mut sum);
                    }),
                }
            }
            sum
        };
        let sums: Vec<Vec<f32>> = (0..parts)
            .into_par_iter()
            .with_max_len(1)
            .map(task)
            .collect();
        if wanted[0] {
            let d_hidden = &mut d_hidden[chunk.start * width..chunk.end * width];
            for sum in sums {
                for (total, value) in d_hidden.iter_mut().zip(sum) {
                    *total += value;
                }
            }
        }
    }
    // SAFETY: the blocks of the first chunk are the whole vocabulary.
    #[allow(unsafe_code)]
    let d_weight = unsafe { written(d_weight) };
    [wanted[0].then_some(d_hidden), wanted[1].then_some(d_weight)]
}

/// Turns logits, or exponentials relative to `relative`, into the slope of the loss, except for the
/// target's own term.
#[inline(always)]
fn slopes(z: &mut [f32], all: Moments, relative: Option<f32>, grad: &[f32]) {
    let inverse = 1.0 / all.sum;
    match (grad, relative) {
        ([logp], Some(largest)) => {
            let factor = -logp * inverse * math::exp((largest - all.max).max(-1e4));
            for z in z.iter_mut() {
                *z *= factor;
            }
        }
        ([logp], None) => {
            let factor = -logp * inverse;
            for z in z.iter_mut() {
                *z = factor * math::exp(*z - all.max);
            }
        }
        ([logp, entropy], _) => {
            // log p + H = (z − max) + shift; a logit of −∞ contributes nothing.
            let shift = inverse.ln() + all.entropy();
            for z in z.iter_mut() {
                let x = *z - all.max;
                let slope = entropy.mul_add(x.max(-1e4) + shift, *logp);
                *z = -inverse * math::exp(x) * slope;
            }
        }
        _ => unreachable!("a row has one output or two"),
    }
}

/// Turns capped logits into the slope of the loss for the logits before the cap, including the
/// target's own term.
#[inline(always)]
fn capped_slopes(z: &mut [f32], all: Moments, target: Option<usize>, cap: f32, grad: &[f32]) {
    let inverse = 1.0 / all.sum;
    let entropy = grad.get(1).copied().unwrap_or(0.0);
    let shift = inverse.ln() + all.entropy();
    let steepness = 1.0 / (cap * cap);
    let below = |z: f32| (z * z).mul_add(-steepness, 1.0);
    let of_target = target.map(|target| grad[0] * below(z[target]));
    for z in z.iter_mut() {
        let x = *z - all.max;
        let slope = entropy.mul_add(x + shift, grad[0]);
        *z = -inverse * math::exp(x) * slope * below(*z);
    }
    if let (Some(target), Some(slope)) = (target, of_target) {
        z[target] += slope;
    }
}
