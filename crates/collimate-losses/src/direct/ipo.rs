//! Identity preference optimisation.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, scaled_log_ratios};
use crate::options::{Range, check};
use crate::{Divergence, LossError, PairLogps};

/// Sum or mean of the log-ratios of [`Ipo`] over the tokens of a completion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IpoNormalization {
    /// Log-ratios are summed over the completion's tokens, as printed in the paper.
    #[default]
    Sum,
    /// Log-ratios are averaged over the completion's tokens, as in TRL, whose developers asked the
    /// paper's authors.
    Mean,
}

/// IPO: regresses the margin on a fixed target, so the margin cannot grow without bound.
///
/// ```text
/// (Δ − 1/(2β))²
/// ```
///
/// <https://arxiv.org/abs/2310.12036>, equation 17 (β is its τ).
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
/// | `normalization` | `sum` | `sum`, `mean` |
/// | `divergence` | `reverse_kl` | see [`Divergence`] |
///
/// # Gradient
/// 2·(Δ − 1/(2β)) for log π_w, the opposite for log π_l; divided by the completion's length
/// under `mean`.
///
/// # Numerics
/// Finite for log-ratios of ±1e4 under `reverse_kl` and `jensen_shannon`; 1/(4β²) at Δ = 0. The
/// square of an exponential divergence overflows in f32 beyond exponents of 44.
///
/// # Differs from
/// TRL's `ipo` is `mean`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Ipo {
    /// Parameter β, above 0: the target margin is 1/(2β).
    pub beta: f64,
    /// Sum or mean of the log-ratios over the tokens of a completion.
    pub normalization: IpoNormalization,
    /// Divergence between policy and reference.
    pub divergence: Divergence,
}

impl Default for Ipo {
    fn default() -> Self {
        Self {
            beta: 0.1,
            normalization: IpoNormalization::Sum,
            divergence: Divergence::ReverseKl,
        }
    }
}

impl DirectLoss for Ipo {
    fn name(&self) -> &'static str {
        "ipo"
    }

    fn check(&self) -> Result<(), LossError> {
        self.divergence.check(self.name())?;
        check(self.name(), &[("beta", self.beta, Range::Positive)])
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        let (chosen, rejected) = (
            self.divergence.score(chosen),
            self.divergence.score(rejected),
        );
        let (chosen, rejected) = match self.normalization {
            IpoNormalization::Sum => (chosen, rejected),
            IpoNormalization::Mean => logps.per_token(self.name(), chosen, rejected)?,
        };
        let error = (chosen - rejected).sub_scalar(0.5 / self.beta);
        Ok(error.clone() * error)
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        scaled_log_ratios(self.name(), self.beta, logps)
    }
}
