//! Which pairs a filter keeps, which it leaves, and why.

use serde::{Deserialize, Serialize};

/// A pair that a filter keeps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Its index in the filter's input.
    pub index: usize,
    /// True if the second answer becomes `chosen`.
    pub swapped: bool,
    /// The number that the filter decided by (Δp, a margin).
    pub score: f64,
}

/// Why a filter leaves a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeaveReason {
    /// The filter's condition does not hold.
    BelowThreshold,
    /// Both answers have the same score: nothing says which is better.
    Tie,
    /// A score is not a finite number.
    NotFinite,
    /// The two answers are not on one side, where the filter wants that.
    OppositeSides,
    /// Enough better pairs were kept.
    OverLimit,
    /// The filter's status keeps nothing (it has converged, or is not sure enough).
    Converged,
    /// Enough pairs of its kind were kept, whose longer answer wins as this one's does.
    LengthBalance,
}

/// A pair that a filter leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Its index in the filter's input.
    pub index: usize,
    /// Why.
    pub reason: LeaveReason,
}

/// What a filter decided: every input index is in exactly one of the two lists, in rising order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Pairs kept.
    pub kept: Vec<Kept>,
    /// Pairs left, with reasons.
    pub left: Vec<Left>,
}

impl Selection {
    /// How many kept pairs have their answers exchanged.
    pub fn swapped(&self) -> usize {
        self.kept.iter().filter(|kept| kept.swapped).count()
    }

    /// Number of pairs left for each reason, in the order of [`LeaveReason`].
    pub fn left_by_reason(&self) -> Vec<(LeaveReason, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        for left in &self.left {
            *counts.entry(left.reason).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_reason() {
        let selection = Selection {
            kept: vec![Kept {
                index: 1,
                swapped: true,
                score: 0.4,
            }],
            left: vec![
                Left {
                    index: 0,
                    reason: LeaveReason::Tie,
                },
                Left {
                    index: 2,
                    reason: LeaveReason::BelowThreshold,
                },
                Left {
                    index: 3,
                    reason: LeaveReason::Tie,
                },
            ],
        };
        assert_eq!(selection.swapped(), 1);
        assert_eq!(
            selection.left_by_reason(),
            vec![(LeaveReason::BelowThreshold, 1), (LeaveReason::Tie, 2)]
        );
    }
}
