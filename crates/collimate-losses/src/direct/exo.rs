//! Efficient exact optimisation.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, scaled_log_ratios};
use crate::numeric::{log_sigmoid, sigmoid};
use crate::options::{Range, check};
use crate::{Divergence, LossError, PairLogps};

/// EXO on pairs: minimises the reverse KL divergence from the policy's preference to the smoothed
/// label.
///
/// ```text
/// q = σ(βΔ)
/// q·(log q − log(1 − ε)) + (1 − q)·(log(1 − q) − log ε)
/// ```
///
/// <https://arxiv.org/abs/2402.00856>, equation 16.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
/// | `label_smoothing` (ε) | 1e-3 | above 0, below ½: log 0 has no value |
/// | `divergence` | `reverse_kl` | see [`Divergence`] |
///
/// # Gradient
/// β·q(1 − q)·(βΔ − log((1 − ε)/ε)) for log π_w, the opposite for log π_l. The gradient changes
/// sign at βΔ = log((1 − ε)/ε).
///
/// # Numerics
/// Finite for log-ratios of ±1e4.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Exo {
    /// Strength β of the pull towards the reference, above 0.
    pub beta: f64,
    /// Probability ε that the label gives to the rejected completion, above 0 and below 0.5.
    pub label_smoothing: f64,
    /// Divergence between policy and reference.
    pub divergence: Divergence,
}

impl Default for Exo {
    fn default() -> Self {
        Self {
            beta: 0.1,
            label_smoothing: 1e-3,
            divergence: Divergence::ReverseKl,
        }
    }
}

impl DirectLoss for Exo {
    fn name(&self) -> &'static str {
        "exo"
    }

    fn check(&self) -> Result<(), LossError> {
        self.divergence.check(self.name())?;
        check(
            self.name(),
            &[
                ("beta", self.beta, Range::Positive),
                ("label_smoothing", self.label_smoothing, Range::InsideHalf),
            ],
        )
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        let margin = self.divergence.score(chosen) - self.divergence.score(rejected);
        let margin = margin.mul_scalar(self.beta);
        let side = |margin: Tensor<1>, label: f64| {
            sigmoid(margin.clone()) * log_sigmoid(margin).sub_scalar(label.ln())
        };
        let e = self.label_smoothing;
        Ok(side(margin.clone(), 1.0 - e) + side(margin.neg(), e))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        scaled_log_ratios(self.name(), self.beta, logps)
    }
}
