//! Noise contrastive alignment.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, logistic, scaled_log_ratios};
use crate::options::{Range, check};
use crate::{LossError, PairLogps};

/// NCA on pairs: learns absolute rewards, so the chosen likelihood does not fall together with the
/// rejected one.
///
/// ```text
/// r = β(log π − log ρ)
/// −log σ(r_w) − ½ log σ(−r_w) − ½ log σ(−r_l)
/// ```
///
/// <https://arxiv.org/abs/2402.05369>, equation 12 for two completions.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
///
/// # Gradient
/// β·(−σ(−r_w) + ½σ(r_w)) for log π_w, ½β·σ(r_l) for log π_l.
///
/// # Numerics
/// Finite for log-ratios of ±1e4; 2 ln 2 where both are 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Nca {
    /// Scale β of the rewards, above 0.
    pub beta: f64,
}

impl Default for Nca {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

impl DirectLoss for Nca {
    fn name(&self) -> &'static str {
        "nca"
    }

    fn check(&self) -> Result<(), LossError> {
        check(self.name(), &[("beta", self.beta, Range::Positive)])
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        let (chosen, rejected) = (chosen.mul_scalar(self.beta), rejected.mul_scalar(self.beta));
        let negatives = logistic(chosen.clone().neg()) + logistic(rejected.neg());
        Ok(logistic(chosen) + negatives.mul_scalar(0.5))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        scaled_log_ratios(self.name(), self.beta, logps)
    }
}
