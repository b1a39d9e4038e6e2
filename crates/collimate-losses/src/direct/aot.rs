//! Alignment by optimal transport.

use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, scaled_log_ratios, smoothed_logistic};
use crate::options::{Range, check};
use crate::{LossError, PairLogps};

/// The two distributions that [`Aot`] sorts against each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AotPairing {
    /// Sorts the policy's margins log π_w − log π_l against the reference's margins (TRL: `aot`).
    #[default]
    Paired,
    /// Sorts the log-ratios of chosen completions against those of rejected ones, whatever their
    /// prompts (TRL: `aot_unpaired`).
    Unpaired,
}

/// AOT: the preference holds between distributions instead of single answers, so both sides are
/// sorted over the batch.
///
/// ```text
/// paired     d = sort(log π_w − log π_l) − sort(log ρ_w − log ρ_l)
/// unpaired   d = sort(log π_w − log ρ_w) − sort(log π_l − log ρ_l)
/// −(1 − ε) log σ(βd) − ε log σ(−βd)
/// ```
///
/// <https://arxiv.org/abs/2406.05882>, algorithms 1 and 2.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
/// | `label_smoothing` (ε) | 0 | at least 0, below ½ |
/// | `pairing` | `paired` | `paired`, `unpaired` |
///
/// # Shapes
/// The losses come in rising order of the policy's side, not in the order of the pairs. They depend
/// on the whole batch: the losses of a part of a batch differ. A trainer that cuts a step into
/// micro-batches asks [`DirectLoss::across_pairs`].
///
/// # Gradient
/// The gradient of [`Dpo`](crate::Dpo) along the sorted order, which is held fixed.
///
/// # Numerics
/// Finite for log-ratios of ±1e4; ln 2 where d = 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Aot {
    /// Strength β of the pull towards the reference, above 0.
    pub beta: f64,
    /// Assumed share ε of wrong labels, at least 0 and below 0.5.
    pub label_smoothing: f64,
    /// The two distributions that are sorted against each other.
    pub pairing: AotPairing,
}

impl Default for Aot {
    fn default() -> Self {
        Self {
            beta: 0.1,
            label_smoothing: 0.0,
            pairing: AotPairing::Paired,
        }
    }
}

impl DirectLoss for Aot {
    fn name(&self) -> &'static str {
        "aot"
    }

    fn check(&self) -> Result<(), LossError> {
        check(
            self.name(),
            &[
                ("beta", self.beta, Range::Positive),
                ("label_smoothing", self.label_smoothing, Range::BelowHalf),
            ],
        )
    }

    fn across_pairs(&self) -> bool {
        true
    }

    /// Rows of the loss are sorted.
    fn takes_weights(&self) -> bool {
        false
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        let (upper, lower) = match self.pairing {
            AotPairing::Unpaired => (chosen, rejected),
            AotPairing::Paired => {
                let policy = logps.policy_chosen.clone() - logps.policy_rejected.clone();
                let (reference_chosen, reference_rejected) = logps.reference(self.name())?;
                (policy, reference_chosen - reference_rejected)
            }
        };
        let margin = sorted(upper) - sorted(lower);
        Ok(smoothed_logistic(
            margin.mul_scalar(self.beta),
            self.label_smoothing,
        ))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        scaled_log_ratios(self.name(), self.beta, logps)
    }
}

/// Sorts in rising order; ties by index. The host finds the order, so that every device agrees.
fn sorted(values: Tensor<1>) -> Tensor<1> {
    let host: Vec<f64> = values.clone().detach().into_data().iter().collect();
    let mut order: Vec<usize> = (0..host.len()).collect();
    order.sort_by(|&a, &b| host[a].total_cmp(&host[b]));
    let order: Vec<i64> = order.into_iter().map(|index| index as i64).collect();
    let n = order.len();
    let device = values.device();
    let order = Tensor::<1, Int>::from_data(TensorData::new(order, [n]), &device);
    values.select(0, order)
}
