//! DiscoPOP, a loss found by a search over programs.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, logistic, scaled_log_ratios};
use crate::numeric::{log_sigmoid, sigmoid};
use crate::options::{Range, check};
use crate::{Divergence, LossError, PairLogps};

/// DiscoPOP: a blend of the logistic and the exponential loss.
///
/// ```text
/// x = βΔ,  g = σ(x/τ)
/// −(1 − g) log σ(x) + g·e^{−x}
/// ```
///
/// <https://arxiv.org/abs/2406.08414>, equation 5.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
/// | `temperature` (τ) | 0.05 | above 0, at most 1: above it the loss would grow without bound |
/// | `divergence` | `reverse_kl` | see [`Divergence`] |
///
/// # Gradient
/// At x = 0 it is β·((1 − ln 2)/(4τ) − ¾), which is **positive** below τ ≈ 0.102. A policy that
/// starts at the reference model then first moves to a local minimum at a negative margin.
///
/// # Numerics
/// Finite for log-ratios of ±1e4, because e^{−x} and g are multiplied in the exponent. (ln 2 + 1)/2
/// at Δ = 0.
///
/// # Differs from
/// TRL's `discopop` multiplies e^{−x} and g separately and overflows for large negative margins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct DiscoPop {
    /// Strength β of the pull towards the reference, above 0.
    pub beta: f64,
    /// Temperature τ of the blend of the two losses, above 0 and at most 1.
    pub temperature: f64,
    /// Divergence between policy and reference.
    pub divergence: Divergence,
}

impl Default for DiscoPop {
    fn default() -> Self {
        Self {
            beta: 0.1,
            temperature: 0.05,
            divergence: Divergence::ReverseKl,
        }
    }
}

impl DirectLoss for DiscoPop {
    fn name(&self) -> &'static str {
        "discopop"
    }

    fn check(&self) -> Result<(), LossError> {
        self.divergence.check(self.name())?;
        check(
            self.name(),
            &[
                ("beta", self.beta, Range::Positive),
                ("temperature", self.temperature, Range::UpToOne),
            ],
        )
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        let margin = self.divergence.score(chosen) - self.divergence.score(rejected);
        let margin = margin.mul_scalar(self.beta);
        let blend = margin.clone().div_scalar(self.temperature);
        let exponential = (log_sigmoid(blend.clone()) - margin.clone()).exp();
        Ok(logistic(margin) * sigmoid(blend.neg()) + exponential)
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        scaled_log_ratios(self.name(), self.beta, logps)
    }
}
