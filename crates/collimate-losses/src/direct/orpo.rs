//! Odds-ratio preference optimisation.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, ReferenceNeed, logistic};
use crate::numeric::expm1;
use crate::options::{Range, check};
use crate::{LossError, PairLogps};

/// ORPO: adds a penalty on the odds ratio to the likelihood of the chosen completion, without a
/// reference.
///
/// ```text
/// a = log π / |y|
/// logodds = (a_w − a_l) − (log(1 − e^{a_w}) − log(1 − e^{a_l}))
/// −a_w − λ log σ(logodds)
/// ```
///
/// <https://arxiv.org/abs/2403.07691>, equations 6 and 7.
///
/// | field | default | range |
/// |---|---|---|
/// | `lambda` (λ) | 0.1 | at least 0 |
///
/// # Gradient
/// Flows through both terms; d logodds / d a = 1 / (1 − e^a).
///
/// # Numerics
/// Finite for mean log-probabilities from −1e4 to 0; values above −1e-7 count as −1e-7 in the odds.
/// At equal means the penalty is λ ln 2.
///
/// # Differs from
/// The likelihood is the mean over completion tokens. TRL's ORPO trainer takes the mean over prompt
/// and completion, as the authors' code does. TRL calls λ `beta`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Orpo {
    /// Weight λ of the penalty on the odds ratio, at least 0.
    pub lambda: f64,
}

impl Default for Orpo {
    fn default() -> Self {
        Self { lambda: 0.1 }
    }
}

impl DirectLoss for Orpo {
    fn name(&self) -> &'static str {
        "orpo"
    }

    fn check(&self) -> Result<(), LossError> {
        check(self.name(), &[("lambda", self.lambda, Range::NotNegative)])
    }

    fn reference_need(&self) -> ReferenceNeed {
        ReferenceNeed::None
    }

    fn has_likelihood(&self) -> bool {
        true
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.mean_logps(self.name())?;
        let log_odds = log_odds(chosen.clone()) - log_odds(rejected);
        Ok(logistic(log_odds).mul_scalar(self.lambda) - chosen)
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        let (chosen, rejected) = logps.mean_logps(self.name())?;
        Ok(ImplicitRewards {
            chosen: chosen.detach().mul_scalar(self.lambda),
            rejected: rejected.detach().mul_scalar(self.lambda),
        })
    }
}

/// Computes a − log(1 − e^a) for a < 0.
fn log_odds(a: Tensor<1>) -> Tensor<1> {
    let a = a.clamp_max(-1e-7);
    let complement = expm1(a.clone()).neg();
    a - complement.log()
}
