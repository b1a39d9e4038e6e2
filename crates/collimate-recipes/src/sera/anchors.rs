//! Options that keep own pairs near to what the start knows.

use collimate_core::Range;
use collimate_irm::KeepRule;
use collimate_losses::{Anchored, DirectLoss, PreferenceLoss, ReferenceNeed};
use collimate_train::TrainError;
use serde::{Deserialize, Serialize};

use crate::RecipeError;

/// Weight of the likelihood term where none is given, for losses that take one.
pub(crate) const NLL_ANCHOR: f64 = 0.5;

/// Devices of the method `anchored`: what keeps the policy's own pairs near to what the start knows.
///
/// The defaults are the devices that helped where they were measured: the start's part in the ranking
/// and the likelihood term.
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
    /// Share of the responses that take no part because they are the unlikeliest under the start, by
    /// mean log-probability per token; at least 0 and below 1.
    pub gate: f64,
    /// Weight of the start's mean log-probability beside the implicit reward where responses are
    /// ranked, both with mean 0 and standard deviation 1; at least 0, and 0 ranks by the implicit
    /// reward alone.
    pub start_weight: f64,
    /// Rule by which some of the pairs that prompts make are kept.
    pub keep: KeepRule,
    /// Least share of pairs on which a second policy, trained with another seed on the same pairs, must
    /// agree, 0 to 1; pairs on which it does not are dropped, and below the share all own pairs are.
    /// Null trains no second policy.
    pub agreement: Option<f64>,
    /// Weight of a likelihood term on chosen answers from the second iteration on, at least 0. Null
    /// is that of the run if above 0, else 0.5 for losses that take one and 0 for others.
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
    /// No device: the paper's form.
    pub const OFF: Self = Self {
        gate: 0.0,
        start_weight: 0.0,
        keep: KeepRule::Largest,
        agreement: None,
        nll_anchor: Some(0.0),
    };

    /// Checks every option, the likelihood term against the loss.
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

    /// The weight of the likelihood term: as given, else that of the run, else the default of losses
    /// that take one.
    pub(crate) fn alpha(&self, loss: &PreferenceLoss, of_run: f64) -> f64 {
        let takes_one = loss.reference_need() == ReferenceNeed::Required && !loss.has_likelihood();
        match self.nll_anchor {
            Some(alpha) => alpha,
            None if of_run > 0.0 => of_run,
            None if takes_one => NLL_ANCHOR,
            None => 0.0,
        }
    }

    /// True if the start's likelihood of responses is asked for.
    pub(crate) fn asks_the_start(&self) -> bool {
        self.gate > 0.0 || self.start_weight > 0.0
    }
}

/// Comparison of devices in reviews that write own answers, where a judge scores all of these.
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
    /// The first review of a method reports it, and the method ends there, without the training
    /// that would follow.
    First,
}

impl CompareDevices {
    /// The name in a configuration.
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
