//! Anchors: devices that keep own pairs near the start model.

use collimate_core::Range;
use collimate_irm::KeepRule;
use collimate_losses::{Anchored, DirectLoss, PreferenceLoss, ReferenceNeed};
use collimate_train::TrainError;
use serde::{Deserialize, Serialize};

use crate::RecipeError;

/// Default weight of the likelihood term, for losses that take one.
pub(crate) const NLL_ANCHOR: f64 = 0.5;

/// Devices of the method `anchored`, which keep the policy's own pairs near the start model.
///
/// The devices that are on by default are those that helped in measurements: the start model's part
/// in the ranking, and the likelihood term.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `gate` | 0 | at least 0, below 1; 0 lets all responses take part |
/// | `start_weight` | 2 | at least 0; 0 ranks by the implicit reward alone |
/// | `keep` | `largest` | `largest` (paper), `middle`, `random` |
/// | `agreement` | null | 0 to 1; null trains no second policy |
/// | `nll_anchor` | `nll_anchor` of the run if above 0, else 0.5 for losses with a reference and without a likelihood term | at least 0 |
///
/// With every device off (`gate` 0, `start_weight` 0, `keep` `largest`, `agreement` null and
/// `nll_anchor` 0) the method is `sera`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Anchors {
    /// Quantile of the start model's own samples, at least 0 and below 1. A response is excluded if
    /// its mean log-probability per token under the start model is below this quantile. The start
    /// model is sampled once, with the prompts and the options of the reviews. With 0, no response
    /// is excluded.
    pub gate: f64,
    /// Weight of the start model's mean log-probability in the ranking of responses, added to the
    /// implicit reward; at least 0. Both terms are scaled to mean 0 and standard deviation 1. With
    /// 0, the implicit reward alone ranks the responses.
    pub start_weight: f64,
    /// Rule that chooses which of the own pairs are kept.
    pub keep: KeepRule,
    /// Smallest share of own pairs on which a second policy must agree, 0 to 1. The second policy
    /// begins at the same start model, is trained with another seed, and reviews the pairs for
    /// itself. Two policies agree on a pair if their implicit reward margins have the same sign.
    /// Pairs on which they disagree are dropped; below this share, all own pairs are dropped. Null
    /// trains no second policy.
    pub agreement: Option<f64>,
    /// Weight of a likelihood term on chosen answers from the second iteration on, at least 0. With
    /// null, the run's `nll_anchor` is used if it is above 0, else 0.5 for losses that take the
    /// term and 0 for others.
    pub nll_anchor: Option<f64>,
}

impl Default for Anchors {
    fn default() -> Self {
        Self {
            gate: 0.0,
            start_weight: 2.0,
            keep: KeepRule::Largest,
            agreement: None,
            nll_anchor: None,
        }
    }
}

impl Anchors {
    /// All devices off, as in the paper.
    pub const OFF: Self = Self {
        gate: 0.0,
        start_weight: 0.0,
        keep: KeepRule::Largest,
        agreement: None,
        nll_anchor: Some(0.0),
    };

    /// Checks every option, and the likelihood term against the loss.
    ///
    /// # Errors
    /// The first option out of range; a weight above 0 for a loss that takes no likelihood term.
    pub fn check(&self, loss: PreferenceLoss) -> Result<(), RecipeError> {
        Range::BelowOne.check("anchors.gate", self.gate)?;
        Range::NotNegative.check("anchors.start_weight", self.start_weight)?;
        if let Some(least) = self.agreement {
            Range::Share.check("anchors.agreement", least)?;
        }
        if let Some(alpha) = self.nll_anchor {
            Range::NotNegative.check("anchors.nll_anchor", alpha)?;
            let anchored = Anchored { loss, alpha };
            anchored.check().map_err(TrainError::objective)?;
        }
        Ok(())
    }

    /// Returns the weight of the likelihood term: the given weight, else the run's, else the
    /// default of losses that take the term.
    pub(crate) fn alpha(&self, loss: &PreferenceLoss, of_run: f64) -> f64 {
        let takes_one = loss.reference_need() == ReferenceNeed::Required && !loss.has_likelihood();
        match self.nll_anchor {
            Some(alpha) => alpha,
            None if of_run > 0.0 => of_run,
            None if takes_one => NLL_ANCHOR,
            None => 0.0,
        }
    }

    /// Returns true if a device needs the start model's likelihood of responses.
    pub(crate) fn asks_the_start(&self) -> bool {
        self.gate > 0.0 || self.start_weight > 0.0
    }
}

/// Comparison of the anchor devices in reviews that write own answers. The judge scores all of
/// these answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CompareDevices {
    /// No comparison.
    #[default]
    Off,
    /// Every review reports what each device alone would have kept.
    Every,
    /// The first review of a method reports the comparison. The method ends there, without the
    /// training that would follow.
    First,
}

impl CompareDevices {
    /// Returns the name used in configurations.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Every => "every",
            Self::First => "first",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_follows_the_loss_and_the_run() {
        let of = |name: &str, run: f64, given: Option<f64>| {
            let nll_anchor = given;
            let anchors = Anchors {
                nll_anchor,
                ..Anchors::default()
            };
            anchors.alpha(&name.parse().unwrap(), run)
        };
        assert_eq!(of("dpo", 0.0, None), NLL_ANCHOR);
        assert_eq!(of("dpo", 0.5, None), 0.5);
        assert_eq!(of("dpo", 0.5, Some(0.0)), 0.0);
        assert_eq!(of("simpo", 0.0, None), 0.0);
        assert_eq!(of("orpo", 0.0, None), 0.0);
        assert_eq!(Anchors::OFF.alpha(&PreferenceLoss::default(), 0.5), 0.0);
    }
}
