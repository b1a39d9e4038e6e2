//! Log-probabilities of target tokens, a chunk of rows at a time.

use rayon::prelude::*;

use super::gemm::{Matrix, product};
use super::math;

/// Logits that exist at once (32 MiB): enough rows that reading the weight is amortised.
const LOGITS_AT_ONCE: usize = 1 << 23;

/// The sizes of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) vocab: usize,
}

impl Sizes {
    fn chunk(self) -> usize {
        (LOGITS_AT_ONCE / self.vocab.max(1)).clamp(1, self.rows.max(1))
    }
}

/// Per row: the largest logit, and one over the sum of exponentials relative to it.
pub(crate) type RowStats = Vec<[f32; 2]>;

/// Log-probability of each row's target.
pub(crate) fn forward(
    hidden: &[f32],
    weight: &[f32],
    targets: &[usize],
    sizes: Sizes,
) -> (Vec<f32>, RowStats) {
    let Sizes { rows, width, vocab } = sizes;
    let chunk = sizes.chunk();
    let mut logp = vec![0.0; rows];
    let mut saved = vec![[0.0; 2]; rows];
    let mut logits = vec![0.0; chunk * vocab];
    for start in (0..rows).step_by(chunk) {
        let len = chunk.min(rows - start);
        let logits = &mut logits[..len * vocab];
        let part = Matrix::new(&hidden[start * width..(start + len) * width], len, width);
        product(part, Matrix::new(weight, vocab, width).t(), logits, false);
        let out = logp[start..start + len]
            .par_iter_mut()
            .zip(&mut saved[start..start + len]);
        out.zip(logits.par_chunks_mut(vocab))
            .enumerate()
            .for_each(|(row, ((logp, saved), z))| {
                math::vectorised(
                    #[inline(always)]
                    || {
                        let target = z[targets[start + row]];
                        let max = math::max(z);
                        math::exp_shifted(z, max);
                        let sum = math::sum(z);
                        *saved = [max, 1.0 / sum];
                        *logp = (target - max) - sum.ln();
                    },
                );
            });
    }
    (logp, saved)
}

/// Gradients for hidden and weight, those wanted.
pub(crate) fn backward(
    hidden: &[f32],
    weight: &[f32],
    targets: &[usize],
    saved: &[[f32; 2]],
    grad: &[f32],
    sizes: Sizes,
    wanted: [bool; 2],
) -> [Option<Vec<f32>>; 2] {
    let Sizes { rows, width, vocab } = sizes;
    let chunk = sizes.chunk();
    let size = |wanted: bool, size: usize| if wanted { size } else { 0 };
    let mut d_hidden = vec![0.0; size(wanted[0], rows * width)];
    let mut d_weight = vec![0.0; size(wanted[1], vocab * width)];
    let mut logits = vec![0.0; chunk * vocab];
    let weight = Matrix::new(weight, vocab, width);
    for start in (0..rows).step_by(chunk) {
        let len = chunk.min(rows - start);
        let logits = &mut logits[..len * vocab];
        let range = start * width..(start + len) * width;
        let part = Matrix::new(&hidden[range.clone()], len, width);
        product(part, weight.t(), logits, false);
        logits
            .par_chunks_mut(vocab)
            .enumerate()
            .for_each(|(row, z)| {
                math::vectorised(
                    #[inline(always)]
                    || {
                        let row = start + row;
                        let [max, inverse] = saved[row];
                        let factor = -grad[row] * inverse;
                        for z in z.iter_mut() {
                            *z = factor * math::exp(*z - max);
                        }
                        z[targets[row]] += grad[row];
                    },
                );
            });
        let d_logits = Matrix::new(logits, len, vocab);
        if wanted[0] {
            product(d_logits, weight, &mut d_hidden[range], false);
        }
        if wanted[1] {
            product(d_logits.t(), part, &mut d_weight, start > 0);
        }
    }
    [wanted[0].then_some(d_hidden), wanted[1].then_some(d_weight)]
}
