//! Summary of a filter's decision, without the pairs.

use collimate_core::{Selection, Verdict};
use serde::{Deserialize, Serialize};

use crate::counts::stops;
use crate::{Decision, LearningStatus, PairCounts, Spread};

/// Summary of a filter's decision: all of [`Decision`] but the lists of pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// Learning status; `None` for rules without a status.
    pub status: Option<LearningStatus>,
    /// Number of pairs kept.
    pub kept: usize,
    /// Number of pairs that meet each condition.
    pub counts: PairCounts,
    /// Number of pairs that a status needed.
    pub min_count: usize,
    /// Mean and spread of the probabilities.
    pub probabilities: Spread,
}

impl PlanSummary {
    /// Returns true if the loop should stop: the status says so, or no pair is kept.
    pub fn converged(&self) -> bool {
        stops(self.status) || self.kept == 0
    }

    /// Returns the decision with these verdicts on all pairs.
    pub(crate) fn decision(self, verdicts: impl Iterator<Item = Verdict>) -> Decision {
        let mut selection = Selection {
            kept: Vec::with_capacity(self.kept),
            left: Vec::with_capacity(self.counts.pairs - self.kept),
        };
        for (index, verdict) in verdicts.enumerate() {
            selection.add(index, verdict);
        }
        Decision {
            status: self.status,
            selection,
            counts: self.counts,
            min_count: self.min_count,
            probabilities: self.probabilities,
        }
    }
}
