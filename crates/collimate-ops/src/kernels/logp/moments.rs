//! Maximum, sum and weighted sum of a row's exponentials, combined from parts.

use super::super::math;

/// Moments of a row's logits relative to the largest, over a block or the whole vocabulary.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    pub(super) max: f32,
    /// `Σ e`, with `e = exp(z − max)`.
    pub(super) sum: f32,
    /// `Σ e·(z − max)`; 0 if the logits are not kept.
    pub(super) weighted: f32,
}

impl Moments {
    /// Combines the moments of two parts of a row.
    pub(super) fn and(self, other: Self) -> Self {
        let max = self.max.max(other.max);
        let [a, b] = [self, other].map(|part| {
            // A part without a finite logit adds nothing.
            let shift = (part.max - max).max(-1e4);
            let factor = math::exp(shift);
            let weighted = part.sum.mul_add(shift, part.weighted);
            (factor * part.sum, factor * weighted)
        });
        Self {
            max,
            sum: a.0 + b.0,
            weighted: a.1 + b.1,
        }
    }

    /// Computes the entropy: −Σ p log p = log Σ e − Σ e·(z − max) / Σ e.
    pub(super) fn entropy(self) -> f32 {
        self.sum.ln() - self.weighted / self.sum
    }
}

/// Computes the moments of a block's row. If `logits` is true, the logits stay in place. Otherwise
/// they become exponentials relative to the largest, and the weighted sum is left out.
#[inline(always)]
pub(super) fn moments(z: &mut [f32], logits: bool) -> Moments {
    let max = math::max(z);
    // A row of −∞ stays finite relative to this number.
    let shift = max.max(f32::MIN);
    if logits {
        let (sum, weighted) = math::exp_moments(z, shift);
        return Moments {
            max: shift,
            sum,
            weighted,
        };
    }
    math::exp_shifted(z, shift);
    Moments {
        max: shift,
        sum: math::sum(z),
        weighted: 0.0,
    }
}
