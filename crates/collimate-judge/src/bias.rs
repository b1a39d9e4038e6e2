//! Effect of the order of two answers on the verdict.

use serde::{Deserialize, Serialize};

use crate::pairwise::PairJudgement;
use crate::verdict::Verdict;

/// Verdicts on the same two answers in both orders. Every judged duel is in exactly one count.
///
/// For a judge that ignores the order, all duels are in `consistent`. For a judge that always
/// prefers the answer shown first, all duels are in `first_shown`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionBias {
    /// Both orders prefer the same side, or both say tie.
    pub consistent: usize,
    /// Both orders prefer the answer shown first.
    pub first_shown: usize,
    /// Both orders prefer the answer shown second.
    pub second_shown: usize,
    /// One order gives a tie, the other does not.
    pub half_tie: usize,
    /// At least one order could not be parsed.
    pub unparsed: usize,
}

impl PositionBias {
    /// Returns the number of duels with both orders parsed.
    pub fn parsed(&self) -> usize {
        self.consistent + self.first_shown + self.second_shown + self.half_tie
    }

    /// Returns the share of parsed duels with the same verdict in both orders, or `None` if there
    /// are none.
    pub fn consistency_rate(&self) -> Option<f64> {
        share(self.consistent, self.parsed())
    }

    /// Returns the share of parsed duels in which the answer shown first wins in both orders.
    pub fn first_shown_rate(&self) -> Option<f64> {
        share(self.first_shown, self.parsed())
    }

    /// Returns the share of parsed duels in which the answer shown second wins in both orders.
    pub fn second_shown_rate(&self) -> Option<f64> {
        share(self.second_shown, self.parsed())
    }

    /// Returns the share of all duels shown to the judge in which an order could not be parsed.
    pub fn unparsed_rate(&self) -> Option<f64> {
        share(self.unparsed, self.parsed() + self.unparsed)
    }

    /// Counts duels by their judgements. A duel without two judgements was not shown to the judge.
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
