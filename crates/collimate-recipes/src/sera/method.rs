//! The methods of one run: where the pairs of an iteration come from.

use collimate_irm::IrmConfig;
use serde::{Deserialize, Serialize};

/// How the pairs of an iteration come about. Every method makes the same number of optimiser
/// steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// The loss alone: one training over all pairs; the reference stays the same.
    Base,
    /// All pairs in every iteration; the reference is the iterate before. This is the control of
    /// the self-reviewing methods.
    Iterative,
    /// Offline pairs selected by implicit reward margin, and bootstrapped pairs.
    Sera,
    /// The method `sera` with the share of bootstrapped pairs that does best on validation.
    BestSera,
    /// The method `sera` with devices that keep own pairs near to what the start knows, from the
    /// second iteration on: see the options `anchors`. Where a second policy does not agree on
    /// own pairs, all offline pairs are trained on and no own ones.
    Anchored,
    /// Selected offline pairs only (K̃ = 0).
    SelectionOnly,
    /// Bootstrapped pairs only (K = 0).
    BootstrapOnly,
    /// As many offline pairs as SeRA selects, chosen at random.
    RandomSelection,
    /// As many offline pairs as SeRA selects: the pairs whose chosen completion is likeliest, per
    /// token, under the start.
    ReferenceSelection,
    /// As many offline pairs as SeRA selects: the pairs with the largest score gap, of the judge's
    /// scores or, without a judge, of the file's.
    ScoreGapSelection,
    /// Curry-DPO on pairs (<https://arxiv.org/abs/2403.07230>): every iteration trains on a part of
    /// the pairs, the largest score gaps first (as for `score_gap_selection`).
    Curry,
    /// Own pairs that the judge labels (OAIF, <https://arxiv.org/abs/2402.04792>), from the first
    /// iteration on: two responses to every prompt. Differs from the paper: responses are sampled
    /// once per iteration, not per step, and the reference is the iterate before, as in all methods
    /// here.
    Oaif,
    /// Own responses against the chosen answers (SPIN, <https://arxiv.org/abs/2401.01335>), from
    /// the first iteration on. The rejected answers play no part.
    Spin,
    /// KTO (<https://arxiv.org/abs/2402.01306>) on both answers of every pair, in one training like
    /// `base`.
    Kto,
}

/// Which offline pairs an iteration trains on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offline {
    All,
    None,
    /// The largest ones of a number.
    Top(Ranking),
    /// The part of that iteration, largest gaps first.
    Stage,
}

/// The number that offline pairs are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ranking {
    Margin,
    Random,
    ReferenceLogp,
    ScoreGap,
}

/// Which pairs of its own responses an iteration trains on.
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

    /// Its name in a configuration.
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

    /// Its name in reports, folders and `summary.json`, with that of the loss: `dpo`,
    /// `iterative-dpo`, `sera-dpo`.
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
            // Another loss.
            Self::Kto => "kto".to_owned(),
            _ => format!("{}-{loss}", self.name().replace('_', "-")),
        }
    }

    /// Whether its first iteration is the plain training over all pairs that others share.
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

    /// Shares of the number of pairs that a review keeps at most: (offline, own).
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
