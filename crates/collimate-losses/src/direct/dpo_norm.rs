//! Direct preference optimisation on means over tokens.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, logistic};
use crate::options::{Range, check};
use crate::{LossError, PairLogps};

/// DPO with log-ratios per token, so that a long answer is not pulled further than a short one.
///
/// ```text
/// −log σ(β(lr_w/|w| − lr_l/|l|))          lr = log π − log ρ
/// ```
///
/// <https://arxiv.org/abs/2411.15124> (length-normalised DPO). A mean over tokens is smaller than a
/// sum, so β must be larger than that of DPO: 2 to 10 is usual.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 5 | above 0 |
///
/// # Gradient
/// −β·σ(−x)/|w| for log π_w and β·σ(−x)/|l| for log π_l, with x the argument of σ above.
///
/// # Numerics
/// Finite for log-ratios of ±1e4; ln 2 where policy and reference agree.
///
/// # Differs from
/// TRL 1.16 (`sigmoid_norm`) logs β·lr as rewards. Here the implicit reward is β·lr/|y|, the value
/// that the loss compares. [`PreferenceLoss`](crate::PreferenceLoss) also accepts the name
/// `sigmoid_norm`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct DpoNorm {
    /// Scale β of the margin of the means, above 0.
    pub beta: f64,
}

impl Default for DpoNorm {
    fn default() -> Self {
        Self { beta: 5.0 }
    }
}

impl DpoNorm {
    fn mean_log_ratios(&self, logps: &PairLogps) -> Result<(Tensor<1>, Tensor<1>), LossError> {
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        logps.per_token(self.name(), chosen, rejected)
    }
}

impl DirectLoss for DpoNorm {
    fn name(&self) -> &'static str {
        "dpo_norm"
    }

    fn check(&self) -> Result<(), LossError> {
        check(self.name(), &[("beta", self.beta, Range::Positive)])
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = self.mean_log_ratios(logps)?;
        Ok(logistic((chosen - rejected).mul_scalar(self.beta)))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        let (chosen, rejected) = self.mean_log_ratios(logps)?;
        Ok(ImplicitRewards {
            chosen: chosen.detach().mul_scalar(self.beta),
            rejected: rejected.detach().mul_scalar(self.beta),
        })
    }
}
