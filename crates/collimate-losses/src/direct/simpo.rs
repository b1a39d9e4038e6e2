//! Simple preference optimisation.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, ReferenceNeed, logistic};
use crate::options::{Range, check};
use crate::{LossError, PairLogps};

/// SimPO: takes mean log-probabilities as rewards and asks for a target margin, without a reference.
/// A usual β is 2 to 10, larger than that of DPO because the rewards are means.
///
/// ```text
/// −log σ(β(log π_w/|w| − log π_l/|l|) − γ)
/// ```
///
/// <https://arxiv.org/abs/2405.14734>, equation 6.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 2 | above 0 |
/// | `gamma` (γ) | 0.5 | at least 0 |
///
/// # Gradient
/// −β/|w|·σ(γ − margin) for log π_w, β/|l|·σ(γ − margin) for log π_l.
///
/// # Numerics
/// Finite for log-probabilities of ±1e4; log(1 + e^γ) at equal means.
///
/// # Differs from
/// The authors' code sets the ratio γ/β (`gamma_beta_ratio`): a ratio of 0.25 is γ = 0.5 at β = 2.
/// TRL's CPO trainer with `loss_type="simpo"` sets γ (`simpo_gamma`), as here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SimPo {
    /// Scale β of the mean log-probabilities, above 0.
    pub beta: f64,
    /// Target margin γ, at least 0.
    pub gamma: f64,
}

impl Default for SimPo {
    fn default() -> Self {
        Self {
            beta: 2.0,
            gamma: 0.5,
        }
    }
}

impl DirectLoss for SimPo {
    fn name(&self) -> &'static str {
        "simpo"
    }

    fn check(&self) -> Result<(), LossError> {
        check(
            self.name(),
            &[
                ("beta", self.beta, Range::Positive),
                ("gamma", self.gamma, Range::NotNegative),
            ],
        )
    }

    fn reference_need(&self) -> ReferenceNeed {
        ReferenceNeed::None
    }

    fn takes_margins(&self) -> bool {
        true
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.mean_logps(self.name())?;
        let margin = (chosen - rejected).mul_scalar(self.beta);
        let margin = logps.less_margins(self.name(), margin)?;
        Ok(logistic(margin.sub_scalar(self.gamma)))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        let (chosen, rejected) = logps.mean_logps(self.name())?;
        Ok(ImplicitRewards {
            chosen: chosen.detach().mul_scalar(self.beta),
            rejected: rejected.detach().mul_scalar(self.beta),
        })
    }
}
