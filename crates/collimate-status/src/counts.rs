//! The learning status and the counts behind it.

use serde::{Deserialize, Serialize};

use crate::{Evidence, Sides, Thresholds};

/// Learning status: the kind of pairs that the reward model can learn from next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearningStatus {
    /// Status 1: the model tells good answers from bad ones.
    Easy,
    /// Status 2: the model tells answers of similar quality apart.
    Hard,
    /// Neither status: the loop stops.
    Converged,
    /// Calibrated filter: enough pairs have a label that is right with the wanted probability.
    Confident,
    /// Calibrated filter: too few pairs have such a label, and the loop stops.
    NoConfidence,
}

impl LearningStatus {
    /// Returns the paper's number of the status, 1 or 2; the other statuses have none.
    pub fn number(self) -> Option<u8> {
        match self {
            Self::Easy => Some(1),
            Self::Hard => Some(2),
            Self::Converged | Self::Confident | Self::NoConfidence => None,
        }
    }
}

/// Returns true if the status says that the loop should stop.
pub(crate) fn stops(status: Option<LearningStatus>) -> bool {
    matches!(
        status,
        Some(LearningStatus::Converged | LearningStatus::NoConfidence)
    )
}

/// Number of pool pairs that meet each condition. Ties and pairs with a score that is not finite
/// are counted separately and meet no condition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairCounts {
    /// Pairs in the pool.
    pub pairs: usize,
    /// Pairs with one answer above `tau_high` and the other below `tau_low`.
    pub easy: usize,
    /// Answers above `tau_high` or below `tau_low`.
    pub confident_answers: usize,
    /// Pairs with Δp above `tau_delta`.
    pub hard: usize,
    /// Pairs with Δp above `tau_delta` and both answers on one side of ½.
    pub hard_same_side: usize,
    /// Pairs whose label is right with at least the wanted probability, under the calibrated
    /// filter; 0 under the paper's filter.
    #[serde(default)]
    pub confident: usize,
    /// Pairs with p₁ = p₂.
    pub ties: usize,
    /// Pairs with a score that is not finite.
    pub not_finite: usize,
}

/// Returns the learning status (equation 3 of <https://arxiv.org/abs/2411.00418>).
///
/// ```text
/// Easy       if  easy ≥ min_count     (AnyAnswer: confident_answers ≥ min_count)
/// Hard       if  hard ≥ min_count     (Same: hard_same_side ≥ min_count)
/// Converged  else
/// ```
///
/// # Examples
/// ```
/// use collimate_status::{Evidence, LearningStatus, PairCounts, Sides, identify_status};
/// let counts = PairCounts { pairs: 900, easy: 599, hard: 600, ..PairCounts::default() };
/// let status = identify_status(&counts, Evidence::BothAnswers, Sides::Any, 600);
/// assert_eq!(status, LearningStatus::Hard);
/// ```
pub fn identify_status(
    counts: &PairCounts,
    evidence: Evidence,
    sides: Sides,
    min_count: usize,
) -> LearningStatus {
    if easy_count(counts, evidence) >= min_count {
        LearningStatus::Easy
    } else if hard_count(counts, sides) >= min_count {
        LearningStatus::Hard
    } else {
        LearningStatus::Converged
    }
}

pub(crate) fn easy_count(counts: &PairCounts, evidence: Evidence) -> usize {
    match evidence {
        Evidence::BothAnswers => counts.easy,
        Evidence::AnyAnswer => counts.confident_answers,
    }
}

pub(crate) fn hard_count(counts: &PairCounts, sides: Sides) -> usize {
    match sides {
        Sides::Any => counts.hard,
        Sides::Same => counts.hard_same_side,
    }
}

/// Mean and spread of p over all answers with a finite score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean of p.
    pub mean: f64,
    /// Standard deviation of p, with the number of answers as divisor.
    pub sd: f64,
    /// Smallest p.
    pub min: f64,
    /// Largest p.
    pub max: f64,
}

/// The two probabilities of a pair and the conditions that the pair meets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) p: (f64, f64),
    pub(crate) finite: bool,
    pub(crate) easy: bool,
    pub(crate) confident: (bool, bool),
    pub(crate) hard: bool,
    pub(crate) same_side: bool,
}

impl Pair {
    /// A probability outside [0, 1], such as NaN, makes the pair not finite.
    pub(crate) fn new(p: (f64, f64), thresholds: &Thresholds) -> Self {
        let high = (p.0 > thresholds.tau_high, p.1 > thresholds.tau_high);
        let low = (p.0 < thresholds.tau_low, p.1 < thresholds.tau_low);
        Self {
            p,
            finite: (0.0..=1.0).contains(&p.0) && (0.0..=1.0).contains(&p.1),
            easy: (high.0 && low.1) || (high.1 && low.0),
            confident: (high.0 || low.0, high.1 || low.1),
            hard: (p.0 - p.1).abs() > thresholds.tau_delta,
            same_side: (p.0 > 0.5 && p.1 > 0.5) || (p.0 < 0.5 && p.1 < 0.5),
        }
    }

    pub(crate) fn tie(&self) -> bool {
        self.p.0 == self.p.1
    }

    pub(crate) fn delta(&self) -> f64 {
        (self.p.0 - self.p.1).abs()
    }

    /// Adds the pair to the counts.
    pub(crate) fn count_in(&self, counts: &mut PairCounts) {
        counts.pairs += 1;
        if !self.finite {
            counts.not_finite += 1;
        } else if self.tie() {
            counts.ties += 1;
        } else {
            counts.easy += usize::from(self.easy);
            counts.confident_answers +=
                usize::from(self.confident.0) + usize::from(self.confident.1);
            counts.hard += usize::from(self.hard);
            counts.hard_same_side += usize::from(self.hard && self.same_side);
        }
    }
}
