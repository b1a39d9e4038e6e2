//! What the order of two answers does to the verdict.

use serde::{Deserialize, Serialize};

use crate::pairwise::PairJudgement;
use crate::verdict::Verdict;

/// Verdicts on the same two answers in both orders. Every judged duel is in exactly one count.
///
/// A judge that only reads has all duels in `consistent`; one that always takes what it sees first
/// has all of them in `first_shown`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionBias {
    /// Both orders prefer the same side, or both say tie.
    pub consistent: usize,
    /// Both orders prefer the answer shown first.
    pub first_shown: usize,
    /// Both orders prefer the answer shown second.
    pub second_shown: usize,
    /// One order says tie, the other does not.
    pub half_tie: usize,
    /// At least one order could not be parsed.
    pub unparsed: usize,
}

impl PositionBias {
    /// Duels with both orders parsed.
    pub fn parsed(&self) -> usize {
        self.consistent + self.first_shown + self.second_shown + self.half_tie
    }

    /// The share of them with the same verdict in both orders; absent without any.
    pub fn consistency_rate(&self) -> Option<f64> {
        share(self.consistent, self.parsed())
    }

    /// The share of them where what is shown first wins in both orders.
    pub fn first_shown_rate(&self) -> Option<f64> {
        share(self.first_shown, self.parsed())
    }

    /// The share of them where what is shown second wins in both orders.
    pub fn second_shown_rate(&self) -> Option<f64> {
        share(self.second_shown, self.parsed())
    }

    /// The share of all duels shown to the judge where an order could not be parsed.
    pub fn unparsed_rate(&self) -> Option<f64> {
        share(self.unparsed, self.parsed() + self.unparsed)
    }

    /// Counts duels by their ballots; those without two were not shown to the judge.
    pub(crate) fn new<'a>(duels: impl Iterator<Item = &'a [PairJudgement]>) -> Self {
        let mut bias = Self::default();
        for ballots in duels {
            let [one, other] = ballots else {
                continue;
            };
            *match (one.verdict, other.verdict) {
                (None, _) | (_, None) => &mut bias.unparsed,
                (Some(Verdict::A), Some(Verdict::A)) => &mut bias.first_shown,
                (Some(Verdict::B), Some(Verdict::B)) => &mut bias.second_shown,
                (Some(Verdict::Tie), Some(Verdict::Tie))
                | (Some(Verdict::A), Some(Verdict::B))
                | (Some(Verdict::B), Some(Verdict::A)) => &mut bias.consistent,
                (Some(Verdict::Tie), Some(_)) | (Some(_), Some(Verdict::Tie)) => &mut bias.half_tie,
            } += 1;
        }
        bias
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
