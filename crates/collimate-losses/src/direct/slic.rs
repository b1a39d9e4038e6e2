//! Sequence likelihood calibration.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, ReferenceNeed, scaled_log_ratios};
use crate::options::{Range, check};
use crate::{Divergence, LossError, PairLogps};

/// Use of a reference model by [`SlicHf`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SlicReference {
    /// The margin is that of the log-ratios.
    #[default]
    Used,
    /// The margin is that of the log-probabilities, as in the SLiC-HF paper.
    None,
}

/// SLiC-HF: a hinge on the margin, with an optional likelihood term.
///
/// ```text
/// used   max(0, δ − βΔ)                        + λ·(−log π_w)
/// none   max(0, δ − β(log π_w − log π_l))      + λ·(−log π_w)
/// ```
///
/// <https://arxiv.org/abs/2305.10425>, equation 3 (rank margin and regularisation);
/// with a reference: <https://arxiv.org/abs/2410.09362>, equation 8.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
/// | `delta` (δ) | 1 | at least 0 |
/// | `nll_weight` (λ) | 0 | at least 0; the likelihood is summed over the completion |
/// | `reference` | `used` | `used`, `none` |
/// | `divergence` | `reverse_kl` | see [`Divergence`]; needs a reference |
///
/// # Gradient
/// −β for log π_w and β for log π_l if the margin is below δ, else 0; −λ for log π_w.
///
/// # Numerics
/// Finite for log-probabilities of ±1e4; δ at margin 0 (λ = 0).
///
/// # Differs from
/// TRL's `hinge` is δ = 1, λ = 0, `used`; [`PreferenceLoss`](crate::PreferenceLoss) also accepts
/// this name.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SlicHf {
    /// Scale β of the margin, above 0.
    pub beta: f64,
    /// Smallest scaled margin δ with a hinge of 0, at least 0.
    pub delta: f64,
    /// Weight λ of the chosen completion's negative log-likelihood, at least 0.
    pub nll_weight: f64,
    /// Use of a reference model.
    pub reference: SlicReference,
    /// Divergence between policy and reference; needs a reference unless it is `reverse_kl`.
    pub divergence: Divergence,
}

impl Default for SlicHf {
    fn default() -> Self {
        Self {
            beta: 0.1,
            delta: 1.0,
            nll_weight: 0.0,
            reference: SlicReference::Used,
            divergence: Divergence::ReverseKl,
        }
    }
}

impl DirectLoss for SlicHf {
    fn name(&self) -> &'static str {
        "slic_hf"
    }

    fn check(&self) -> Result<(), LossError> {
        let loss = self.name();
        self.divergence.check(loss)?;
        if self.reference == SlicReference::None && self.divergence != Divergence::ReverseKl {
            let message = "a divergence needs a reference: give reference = used, or keep \
                           divergence = reverse_kl";
            return Err(LossError::Conflict { loss, message });
        }
        check(
            loss,
            &[
                ("beta", self.beta, Range::Positive),
                ("delta", self.delta, Range::NotNegative),
                ("nll_weight", self.nll_weight, Range::NotNegative),
            ],
        )
    }

    fn reference_need(&self) -> ReferenceNeed {
        match self.reference {
            SlicReference::Used => ReferenceNeed::Required,
            SlicReference::None => ReferenceNeed::None,
        }
    }

    fn has_likelihood(&self) -> bool {
        self.nll_weight > 0.0
    }

    fn takes_margins(&self) -> bool {
        true
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        logps.check(self.name())?;
        let margin = match self.reference {
            SlicReference::Used => {
                let (chosen, rejected) = logps.log_ratios(self.name())?;
                self.divergence.score(chosen) - self.divergence.score(rejected)
            }
            SlicReference::None => logps.policy_chosen.clone() - logps.policy_rejected.clone(),
        };
        let margin = logps.less_margins(self.name(), margin.mul_scalar(self.beta))?;
        let hinge = activation::relu(margin.neg().add_scalar(self.delta));
        if self.nll_weight == 0.0 {
            return Ok(hinge);
        }
        Ok(hinge - logps.policy_chosen.clone().mul_scalar(self.nll_weight))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        match self.reference {
            SlicReference::Used => scaled_log_ratios(self.name(), self.beta, logps),
            SlicReference::None => {
                logps.check(self.name())?;
                let scaled = |t: &Tensor<1>| t.clone().detach().mul_scalar(self.beta);
                Ok(ImplicitRewards {
                    chosen: scaled(&logps.policy_chosen),
                    rejected: scaled(&logps.policy_rejected),
                })
            }
        }
    }
}
