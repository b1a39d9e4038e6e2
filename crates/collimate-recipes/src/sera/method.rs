//! The methods of a run: sources of the pairs of an iteration.

use collimate_irm::IrmConfig;
use serde::{Deserialize, Serialize};

/// Source of the pairs of an iteration. With equal updates, every method makes the same number of
/// optimiser steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// The loss alone: one training over all pairs with a fixed reference.
    Base,
    /// All pairs in every iteration; the reference is the policy of the iteration before. This is
    /// the control of the self-reviewing methods.
    Iterative,
    /// Offline pairs selected by implicit reward margin, and own pairs.
    Sera,
    /// The method `sera` with the share of own pairs that does best on validation data. The share
    /// may be 0.
    BestSera,
    /// Adds devices to `sera` that keep own pairs near the start model. The devices act from the
    /// second iteration on and are described at the options `anchors`. If a second policy disagrees on too many own pairs,
    /// the iteration trains on all offline pairs and on no own pairs.
    Anchored,
    /// Selected offline pairs only (K̃ = 0).
    SelectionOnly,
    /// Own pairs only (K = 0).
    BootstrapOnly,
    /// As many offline pairs as SeRA selects, chosen at random.
    RandomSelection,
    /// As many offline pairs as SeRA selects: those whose chosen completion is the most likely, per
    /// token, under the start model.
    ReferenceSelection,
    /// As many offline pairs as SeRA selects: those with the largest score gap. The scores are the
    /// judge's or, without a judge, those of the data file.
    ScoreGapSelection,
    /// Curry-DPO on pairs (<https://arxiv.org/abs/2403.07230>). Every iteration trains on a part of
    /// the pairs, the largest score gaps first (as for `score_gap_selection`).
    Curry,
    /// Own pairs that the judge labels (OAIF, <https://arxiv.org/abs/2402.04792>), from the first
    /// iteration on, with two responses to every prompt. Differs from the paper: responses are
    /// sampled once per iteration, not per step, and the reference is the policy of the iteration
    /// before.
    Oaif,
    /// The chosen answers against the policy's own responses (SPIN,
    /// <https://arxiv.org/abs/2401.01335>), from the first iteration on. The rejected answers are
    /// not used.
    Spin,
    /// KTO (<https://arxiv.org/abs/2402.01306>) on both answers of every pair, in one training like
    /// `base`.
    Kto,
}

/// Rule that selects the offline pairs of an iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offline {
    All,
    None,
    /// The pairs with the largest values.
    Top(Ranking),
    /// One part per iteration, the largest gaps first.
    Stage,
}

/// Value by which offline pairs are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ranking {
    Margin,
    Random,
    ReferenceLogp,
    ScoreGap,
}

/// Rule that makes own pairs from the policy's responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    None,
    /// Best against worst implicit reward.
    Implicit,
    /// Better against worse score of the judge.
    Judged,
    /// The chosen answer against an own response.
    Target,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 14] = [
        Self::Base,
        Self::Iterative,
        Self::Sera,
        Self::BestSera,
        Self::Anchored,
        Self::SelectionOnly,
        Self::BootstrapOnly,
        Self::RandomSelection,
        Self::ReferenceSelection,
        Self::ScoreGapSelection,
        Self::Curry,
        Self::Oaif,
        Self::Spin,
        Self::Kto,
    ];

    /// Returns the name used in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Iterative => "iterative",
            Self::Sera => "sera",
            Self::BestSera => "best_sera",
            Self::Anchored => "anchored",
            Self::SelectionOnly => "selection_only",
            Self::BootstrapOnly => "bootstrap_only",
            Self::RandomSelection => "random_selection",
            Self::ReferenceSelection => "reference_selection",
            Self::ScoreGapSelection => "score_gap_selection",
            Self::Curry => "curry",
            Self::Oaif => "oaif",
            Self::Spin => "spin",
            Self::Kto => "kto",
        }
    }

    /// Returns the name used in reports, folders and `summary.json`, which ends with the loss's
    /// name: `dpo`, `iterative-dpo`, `sera-dpo`.
    ///
    /// ```
    /// use collimate_recipes::sera::Method;
    /// assert_eq!(Method::Base.title("ipo"), "ipo");
    /// assert_eq!(Method::BestSera.title("slic_hf"), "best-sera-slic_hf");
    /// assert_eq!(Method::Kto.title("dpo"), "kto");
    /// ```
    pub fn title(self, loss: &str) -> String {
        match self {
            Self::Base => loss.to_owned(),
            // KTO replaces the loss.
            Self::Kto => "kto".to_owned(),
            _ => format!("{}-{loss}", self.name().replace('_', "-")),
        }
    }

    /// Returns true if the first iteration is the shared plain training over all pairs.
    pub(crate) fn starts_on_all_pairs(self) -> bool {
        !matches!(
            self,
            Self::Base | Self::Kto | Self::Curry | Self::Oaif | Self::Spin
        )
    }

    pub(crate) fn offline(self) -> Offline {
        match self {
            Self::Base | Self::Iterative | Self::Kto => Offline::All,
            Self::Sera | Self::BestSera | Self::Anchored | Self::SelectionOnly => {
                Offline::Top(Ranking::Margin)
            }
            Self::RandomSelection => Offline::Top(Ranking::Random),
            Self::ReferenceSelection => Offline::Top(Ranking::ReferenceLogp),
            Self::ScoreGapSelection => Offline::Top(Ranking::ScoreGap),
            Self::Curry => Offline::Stage,
            Self::BootstrapOnly | Self::Oaif | Self::Spin => Offline::None,
        }
    }

    pub(crate) fn own(self) -> Own {
        match self {
            Self::Sera | Self::BestSera | Self::Anchored | Self::BootstrapOnly => Own::Implicit,
            Self::Oaif => Own::Judged,
            Self::Spin => Own::Target,
            _ => Own::None,
        }
    }

    /// Returns the largest shares of the number of pairs that a review keeps: (offline, own).
    pub(crate) fn shares(self, irm: &IrmConfig) -> (f64, f64) {
        let offline = match self.offline() {
            Offline::All | Offline::Stage => 1.0,
            Offline::Top(_) => irm.offline_share,
            Offline::None => 0.0,
        };
        let own = match self.own() {
            Own::None => 0.0,
            Own::Implicit => irm.bootstrap_share,
            Own::Judged | Own::Target => 1.0,
        };
        (offline, own)
    }
}
