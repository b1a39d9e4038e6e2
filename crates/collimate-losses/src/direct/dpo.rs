//! Direct preference optimisation.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, scaled_log_ratios, smoothed_logistic};
use crate::options::{Range, check};
use crate::{Divergence, LossError, PairLogps};

/// DPO, and with label smoothing conservative DPO (cDPO).
///
/// DPO raises the likelihood of the chosen answer over that of the rejected one, relative to a
/// reference model. A usual β is 0.01 to 0.5; a larger β keeps the policy nearer to the reference.
///
/// ```text
/// Δ = (log π_w − log ρ_w) − (log π_l − log ρ_l)
/// −(1 − ε) log σ(βΔ) − ε log σ(−βΔ)
/// ```
///
/// <https://arxiv.org/abs/2305.18290>, equation 7; ε: <https://ericmitchell.ai/cdpo.pdf>. With a
/// margin m for each pair ([`PairLogps::with_margins`]), βΔ − m stands in place of βΔ: DPO with an
/// offset, <https://arxiv.org/abs/2402.10571>, equation 8.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
/// | `label_smoothing` (ε) | 0 | at least 0, below ½ |
/// | `divergence` | `reverse_kl` | see [`Divergence`] |
///
/// # Gradient
/// −β·(σ(−βΔ) − ε) for log π_w, the opposite for log π_l.
///
/// # Numerics
/// Finite for log-ratios of ±1e4; ln 2 at Δ = 0.
///
/// # Differs from
/// TRL 1.16's `sigmoid` has no label smoothing; its `robust` is [`RobustDpo`](crate::RobustDpo).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Dpo {
    /// Strength β of the pull towards the reference, above 0.
    pub beta: f64,
    /// Assumed share ε of wrong labels, at least 0 and below 0.5.
    pub label_smoothing: f64,
    /// Divergence between policy and reference.
    pub divergence: Divergence,
}

impl Default for Dpo {
    fn default() -> Self {
        Self {
            beta: 0.1,
            label_smoothing: 0.0,
            divergence: Divergence::ReverseKl,
        }
    }
}

impl DirectLoss for Dpo {
    fn name(&self) -> &'static str {
        "dpo"
    }

    fn check(&self) -> Result<(), LossError> {
        self.divergence.check(self.name())?;
        check(
            self.name(),
            &[
                ("beta", self.beta, Range::Positive),
                ("label_smoothing", self.label_smoothing, Range::BelowHalf),
            ],
        )
    }

    fn takes_margins(&self) -> bool {
        true
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        let margin = self.divergence.score(chosen) - self.divergence.score(rejected);
        let margin = logps.less_margins(self.name(), margin.mul_scalar(self.beta))?;
        Ok(smoothed_logistic(margin, self.label_smoothing))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        scaled_log_ratios(self.name(), self.beta, logps)
    }
}
