//! Anchored preference optimisation.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, scaled_log_ratios};
use crate::numeric::sigmoid;
use crate::options::{Range, check};
use crate::{LossError, PairLogps};

/// APO-zero: pushes the chosen reward above zero and the rejected reward below. Use it if the
/// chosen completions are better than those of the model.
///
/// ```text
/// r = β(log π − log ρ)
/// (1 − σ(r_w)) + σ(r_l)
/// ```
///
/// <https://arxiv.org/abs/2408.06266>, equation 7.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
///
/// # Gradient
/// −β·σ(r_w)(1 − σ(r_w)) for log π_w, β·σ(r_l)(1 − σ(r_l)) for log π_l.
///
/// # Numerics
/// Between 0 and 2 for any log-ratio; 1 where both are 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ApoZero {
    /// Scale β of the rewards, above 0.
    pub beta: f64,
}

/// APO-down: lowers both rewards, the rejected one more. Use it if the chosen completions are worse
/// than those of the model.
///
/// ```text
/// σ(r_w) + (1 − σ(r_w − r_l))
/// ```
///
/// <https://arxiv.org/abs/2408.06266>, equation 8.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
///
/// # Gradient
/// β·(s(r_w) − s(r_w − r_l)) for log π_w, β·s(r_w − r_l) for log π_l, with s = σ(1 − σ).
///
/// # Numerics
/// Between 0 and 2 for any log-ratio; 1 where both are 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ApoDown {
    /// Scale β of the rewards, above 0.
    pub beta: f64,
}

impl Default for ApoZero {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

impl Default for ApoDown {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

impl DirectLoss for ApoZero {
    fn name(&self) -> &'static str {
        "apo_zero"
    }

    fn check(&self) -> Result<(), LossError> {
        check(self.name(), &[("beta", self.beta, Range::Positive)])
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        // 1 − σ(x) = σ(−x)
        Ok(sigmoid(chosen.mul_scalar(-self.beta)) + sigmoid(rejected.mul_scalar(self.beta)))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        scaled_log_ratios(self.name(), self.beta, logps)
    }
}

impl DirectLoss for ApoDown {
    fn name(&self) -> &'static str {
        "apo_down"
    }

    fn check(&self) -> Result<(), LossError> {
        check(self.name(), &[("beta", self.beta, Range::Positive)])
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        let margin = chosen.clone() - rejected;
        Ok(sigmoid(chosen.mul_scalar(self.beta)) + sigmoid(margin.mul_scalar(-self.beta)))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        scaled_log_ratios(self.name(), self.beta, logps)
    }
}
