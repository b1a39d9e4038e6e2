//! Self-play fine-tuning.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, logistic, scaled_log_ratios};
use crate::options::{Range, check};
use crate::{LossError, PairLogps};

/// SPIN: the chosen completion is a target of fine-tuning. The rejected one was written by the
/// reference model, which is the policy of the previous iteration.
///
/// ```text
/// −log σ(βΔ)
/// ```
///
/// <https://arxiv.org/abs/2401.01335>, equation 4.7 with the logistic loss (β is its λ).
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
///
/// # Gradient
/// The gradient of [`Dpo`](crate::Dpo). As functions the two losses are equal; only the source of
/// the pairs differs.
///
/// # Numerics
/// Finite for log-ratios of ±1e4; ln 2 at Δ = 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Spin {
    /// Strength β of the pull towards the policy of the previous iteration, above 0.
    pub beta: f64,
}

impl Default for Spin {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

impl DirectLoss for Spin {
    fn name(&self) -> &'static str {
        "spin"
    }

    fn check(&self) -> Result<(), LossError> {
        check(self.name(), &[("beta", self.beta, Range::Positive)])
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        Ok(logistic((chosen - rejected).mul_scalar(self.beta)))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        scaled_log_ratios(self.name(), self.beta, logps)
    }
}
