//! Log-probabilities of target tokens and entropies, a chunk of rows at a time.

use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::gemm::{Matrix, product, product_of};
use super::math;
use super::scratch::Scratch;

/// Logits that exist at once (48 MiB): enough rows that reading the weight is amortised.
const LOGITS_AT_ONCE: usize = 12 << 20;

/// The sizes of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) vocab: usize,
    /// Whether the entropy is computed too: a row's output is then `[logp, entropy]`.
    pub(crate) entropy: bool,
}

impl Sizes {
    /// Rows of a chunk: as few chunks as fit, of about the same size.
    fn chunk(self) -> usize {
        let most = (LOGITS_AT_ONCE / self.vocab.max(1)).clamp(1, self.rows.max(1));
        self.rows.div_ceil(self.rows.div_ceil(most).max(1)).max(1)
    }

    /// Numbers per row of the output.
    fn outputs(self) -> usize {
        1 + usize::from(self.entropy)
    }
}

/// What backward needs of a row.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    /// The largest logit.
    max: f32,
    /// One over the sum of exponentials relative to it.
    inverse: f32,
    /// The entropy, where it is asked for.
    entropy: f32,
}

/// What forward leaves for backward.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    rows: Vec<Row>,
    /// Exponentials of the last chunk, so that backward computes only the others again.
    last: Arc<Mutex<Option<Scratch>>>,
}

/// Per row, the log-probability of its target and, where asked for, the entropy.
pub(crate) fn forward(
    hidden: &[f32],
    weight: &[f32],
    targets: &[usize],
    sizes: Sizes,
) -> (Vec<f32>, Saved) {
    let Sizes { rows, vocab, .. } = sizes;
    let (chunk, outputs) = (sizes.chunk(), sizes.outputs());
    let mut out = vec![0.0; rows * outputs];
    let mut saved = vec![Row::default(); rows];
    let mut scratch = Scratch::new(chunk * vocab);
    for start in (0..rows).step_by(chunk) {
        let len = chunk.min(rows - start);
        let logits = &mut scratch[..len * vocab];
        logits_of(hidden, weight, start, len, sizes, logits);
        let out = out[start * outputs..].par_chunks_mut(outputs);
        let rows = out.zip(&mut saved[start..start + len]);
        rows.zip(logits.par_chunks_mut(vocab))
            .enumerate()
            .for_each(|(row, ((out, saved), z))| {
                math::vectorised(
                    #[inline(always)]
                    || {
                        let target = z[targets[start + row]];
                        let max = math::max(z);
                        // −Σ p log p = log Σ e − Σ e·(z − max) / Σ e, with e = exp(z − max).
                        let (sum, weighted) = if sizes.entropy {
                            math::exp_shifted_moments(z, max)
                        } else {
                            math::exp_shifted(z, max);
                            (math::sum(z), 0.0)
                        };
                        let entropy = sum.ln() - weighted / sum;
                        out[0] = (target - max) - sum.ln();
                        if let Some(out) = out.get_mut(1) {
                            *out = entropy;
                        }
                        *saved = Row {
                            max,
                            inverse: 1.0 / sum,
                            entropy,
                        };
                    },
                );
            });
    }
    let saved = Saved {
        rows: saved,
        // The entropy's slope needs the logits themselves.
        last: Arc::new(Mutex::new((!sizes.entropy).then_some(scratch))),
    };
    (out, saved)
}

fn logits_of(
    hidden: &[f32],
    weight: &[f32],
    start: usize,
    len: usize,
    Sizes { width, vocab, .. }: Sizes,
    logits: &mut [f32],
) {
    let part = &hidden[start * width..(start + len) * width];
    let weight = Matrix::new(weight, vocab, width);
    product(Matrix::new(part, len, width), weight.t(), logits, false);
}

/// Gradients for hidden and weight, those wanted.
///
/// ```text
/// ∂logp/∂z_v = [v = target] − p_v          ∂H/∂z_v = −p_v (log p_v + H)
/// ```
pub(crate) fn backward(
    hidden: &[f32],
    weight: &[f32],
    targets: &[usize],
    saved: &Saved,
    grad: &[f32],
    sizes: Sizes,
    wanted: [bool; 2],
) -> [Option<Vec<f32>>; 2] {
    let Sizes {
        rows, width, vocab, ..
    } = sizes;
    let (chunk, outputs) = (sizes.chunk(), sizes.outputs());
    let mut d_hidden = vec![0.0; if wanted[0] { rows * width } else { 0 }];
    let mut d_weight = None;
    let kept = saved
        .last
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let mut is_kept = kept.is_some();
    let mut scratch = kept.unwrap_or_else(|| Scratch::new(chunk * vocab));
    let weight_matrix = Matrix::new(weight, vocab, width);
    // The last chunk first: its exponentials lie in the buffer.
    let starts: Vec<usize> = (0..rows).step_by(chunk).collect();
    for &start in starts.iter().rev() {
        let len = chunk.min(rows - start);
        let z = &mut scratch[..len * vocab];
        let have_exponentials = std::mem::take(&mut is_kept);
        if !have_exponentials {
            logits_of(hidden, weight, start, len, sizes, z);
        }
        z.par_chunks_mut(vocab).enumerate().for_each(|(row, z)| {
            let row = start + row;
            let saved = &saved.rows[row];
            let grad = &grad[row * outputs..(row + 1) * outputs];
            math::vectorised(
                #[inline(always)]
                || {
                    match grad {
                        [logp] => {
                            let factor = -logp * saved.inverse;
                            if have_exponentials {
                                for z in z.iter_mut() {
                                    *z *= factor;
                                }
                            } else {
                                for z in z.iter_mut() {
                                    *z = factor * math::exp(*z - saved.max);
                                }
                            }
                        }
                        [logp, entropy] => {
                            // log p + H = (z − max) + shift; a logit of −∞ has no part in it.
                            let shift = saved.inverse.ln() + saved.entropy;
                            for z in z.iter_mut() {
                                let x = *z - saved.max;
                                let slope = entropy.mul_add(x.max(-1e4) + shift, *logp);
                                *z = -saved.inverse * math::exp(x) * slope;
                            }
                        }
                        _ => unreachable!("a row has one output or two"),
                    }
                    z[targets[row]] += grad[0];
                },
            );
        });
        let d_logits = Matrix::new(z, len, vocab);
        let range = start * width..(start + len) * width;
        if wanted[0] {
            product(d_logits, weight_matrix, &mut d_hidden[range.clone()], false);
        }
        if wanted[1] {
            let part = Matrix::new(&hidden[range], len, width);
            match &mut d_weight {
                None => d_weight = Some(product_of(d_logits.t(), part)),
                Some(sum) => product(d_logits.t(), part, sum, true),
            }
        }
    }
    // Without a row there is no part.
    let d_weight = d_weight.or_else(|| wanted[1].then(|| vec![0.0; vocab * width]));
    [wanted[0].then_some(d_hidden), d_weight]
}
