//! DPO that stays unbiased under label noise.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, logistic, scaled_log_ratios};
use crate::options::{Range, check};
use crate::{Divergence, LossError, PairLogps};

/// Robust DPO (rDPO): over labels that are flipped with probability ε, the expected loss equals the
/// DPO loss of the clean labels.
///
/// ```text
/// [−(1 − ε) log σ(βΔ) + ε log σ(−βΔ)] / (1 − 2ε)
/// ```
///
/// <https://arxiv.org/abs/2403.00409>, equation 9.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
/// | `label_smoothing` (ε) | 0.1 | at least 0, below ½ |
/// | `divergence` | `reverse_kl` | see [`Divergence`] |
///
/// # Gradient
/// −β·(σ(−βΔ) + ε/(1 − 2ε)) for log π_w, the opposite for log π_l. The gradient does not vanish for
/// large margins.
///
/// # Numerics
/// Finite for log-ratios of ±1e4; ln 2 at Δ = 0. Not bounded below.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RobustDpo {
    /// Strength β of the pull towards the reference, above 0.
    pub beta: f64,
    /// Share ε of flipped labels, at least 0 and below 0.5.
    pub label_smoothing: f64,
    /// Divergence between policy and reference.
    pub divergence: Divergence,
}

impl Default for RobustDpo {
    fn default() -> Self {
        Self {
            beta: 0.1,
            label_smoothing: 0.1,
            divergence: Divergence::ReverseKl,
        }
    }
}

impl DirectLoss for RobustDpo {
    fn name(&self) -> &'static str {
        "rdpo"
    }

    fn check(&self) -> Result<(), LossError> {
        self.divergence.check(self.name())?;
        check(
            self.name(),
            &[
                ("beta", self.beta, Range::Positive),
                ("label_smoothing", self.label_smoothing, Range::BelowHalf),
            ],
        )
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        let margin = self.divergence.score(chosen) - self.divergence.score(rejected);
        let margin = margin.mul_scalar(self.beta);
        let e = self.label_smoothing;
        let clean = logistic(margin.clone()).mul_scalar(1.0 - e);
        let flipped = logistic(margin.neg()).mul_scalar(e);
        Ok((clean - flipped).div_scalar(1.0 - 2.0 * e))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        scaled_log_ratios(self.name(), self.beta, logps)
    }
}
