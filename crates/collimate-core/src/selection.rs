//! Selections: the pairs that a filter keeps and leaves, with reasons.

use serde::{Deserialize, Serialize};

/// A pair that a filter keeps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Index of the pair in the filter's input.
    pub index: usize,
    /// True if the second answer becomes `chosen`.
    pub swapped: bool,
    /// Number that the filter decided by (Δp, a margin).
    pub score: f64,
}

/// Reason why a filter leaves a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeaveReason {
    /// The filter's condition does not hold.
    BelowThreshold,
    /// Both answers have the same score, so neither is better.
    Tie,
    /// A score is not a finite number.
    NotFinite,
    /// The filter wants both answers on the same side of ½, and they are not.
    OppositeSides,
    /// Enough other pairs were kept.
    OverLimit,
    /// The filter's status keeps nothing (it has converged, or is not sure enough).
    Converged,
    /// The filter balances lengths, and enough pairs of this kind (the longer answer wins, or
    /// loses) were kept.
    LengthBalance,
}

/// A pair that a filter leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Index of the pair in the filter's input.
    pub index: usize,
    /// Reason why the filter leaves the pair.
    pub reason: LeaveReason,
}

/// Verdict of a filter on one pair.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The filter keeps the pair.
    Kept {
        /// True if the second answer becomes `chosen`.
        swapped: bool,
        /// Number that the filter decided by (Δp, a margin).
        score: f64,
    },
    /// The filter leaves the pair, for this reason.
    Left(LeaveReason),
}

/// Decision of a filter: every input index is in exactly one of the two lists, in rising order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Pairs kept.
    pub kept: Vec<Kept>,
    /// Pairs left, with reasons.
    pub left: Vec<Left>,
}

impl Selection {
    /// Adds the verdict on the pair with this index.
    ///
    /// # Examples
    /// ```
    /// use collimate_core::{LeaveReason, Selection, Verdict};
    /// let mut selection = Selection::default();
    /// selection.add(0, Verdict::Left(LeaveReason::Tie));
    /// selection.add(1, Verdict::Kept { swapped: true, score: 0.4 });
    /// assert_eq!((selection.kept[0].index, selection.left[0].index), (1, 0));
    /// ```
    pub fn add(&mut self, index: usize, verdict: Verdict) {
        match verdict {
            Verdict::Kept { swapped, score } => self.kept.push(Kept {
                index,
                swapped,
                score,
            }),
            Verdict::Left(reason) => self.left.push(Left { index, reason }),
        }
    }

    /// Returns the number of kept pairs whose answers are swapped.
    pub fn swapped(&self) -> usize {
        self.kept.iter().filter(|kept| kept.swapped).count()
    }

    /// Returns the number of pairs left for each reason, in the order of [`LeaveReason`].
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
