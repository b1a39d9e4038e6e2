//! Self-play preference optimisation.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, scaled_log_ratios};
use crate::options::{Range, check};
use crate::{LossError, PairLogps};

/// SPPO with hard labels: regresses the log-ratio of the chosen completion on 1/(2β), and that of
/// the rejected one on −1/(2β).
///
/// ```text
/// (lr_w − 1/(2β))² + (lr_l + 1/(2β))²
/// ```
///
/// <https://arxiv.org/abs/2405.00675>, equation 4.7 with win probabilities 1 and 0.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
///
/// # Gradient
/// 2(lr_w − 1/(2β)) for log π_w, 2(lr_l + 1/(2β)) for log π_l.
///
/// # Numerics
/// Finite for log-ratios of ±1e4; 1/(2β²) where both are 0.
///
/// # Differs from
/// The paper estimates the win probabilities with a preference model. This loss is TRL's `sppo_hard`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Sppo {
    /// Parameter β, above 0: the target log-ratio is 1/(2β).
    pub beta: f64,
}

impl Default for Sppo {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

impl DirectLoss for Sppo {
    fn name(&self) -> &'static str {
        "sppo"
    }

    fn check(&self) -> Result<(), LossError> {
        check(self.name(), &[("beta", self.beta, Range::Positive)])
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        let target = 0.5 / self.beta;
        let (chosen, rejected) = (chosen.sub_scalar(target), rejected.add_scalar(target));
        Ok(chosen.clone() * chosen + rejected.clone() * rejected)
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        scaled_log_ratios(self.name(), self.beta, logps)
    }
}
