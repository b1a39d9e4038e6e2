//! The judgements of every case.

use collimate::judge::{AnswerPair, Grade, Outcome, PairResult, ParseReport, PositionBias};
use serde::Serialize;

/// Scores of single answers, and verdicts on answers side by side. A kind that was not requested is
/// absent.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) single: Option<Single>,
    pub(crate) pairwise: Option<Pairwise>,
}

/// A score for each answer.
#[derive(Debug)]
pub(crate) struct Single {
    /// Scores of side a, one for each case; `None` for an answer without a score.
    pub(crate) a: Vec<Option<f64>>,
    /// Scores of side b; empty if there is no side b.
    pub(crate) b: Vec<Option<f64>>,
    /// Winners by score, seen from side a; empty if there is no side b.
    pub(crate) outcomes: Vec<Option<Outcome>>,
    /// Grades that a language model wrote, of side a, then of side b.
    pub(crate) grades: Option<[Vec<Grade>; 2]>,
    pub(crate) report: Option<ParseReport>,
}

/// Judgements of each case in both orders.
#[derive(Debug)]
pub(crate) struct Pairwise {
    pub(crate) results: Vec<PairResult>,
    pub(crate) bias: PositionBias,
    pub(crate) report: ParseReport,
}

/// Returns the length of an answer in characters.
pub(crate) fn chars(text: &str) -> f64 {
    text.chars().count() as f64
}

/// Returns the length of answer a minus the length of answer b.
pub(crate) fn length_difference(duel: &AnswerPair) -> f64 {
    chars(&duel.a.answer.text) - chars(&duel.b.answer.text)
}

/// Adds one report to another.
pub(crate) fn add_report(sum: &mut ParseReport, more: ParseReport) {
    sum.judgements += more.judgements;
    sum.parsed += more.parsed;
    sum.empty += more.empty;
    sum.generated += more.generated;
    sum.cached += more.cached;
    sum.repeated += more.repeated;
    for (reason, count) in more.unparsed {
        *sum.unparsed.entry(reason).or_insert(0) += count;
    }
    sum.example = sum.example.take().or(more.example);
    sum.refusal = sum.refusal.take().or(more.refusal);
}

/// Adds one count of position bias to another.
pub(crate) fn add_bias(sum: &mut PositionBias, more: PositionBias) {
    sum.consistent += more.consistent;
    sum.first_shown += more.first_shown;
    sum.second_shown += more.second_shown;
    sum.half_tie += more.half_tie;
    sum.unparsed += more.unparsed;
}

/// Position bias with its shares, for the summary.
#[derive(Debug, Serialize)]
pub(crate) struct BiasShares {
    #[serde(flatten)]
    pub(crate) counts: PositionBias,
    pub(crate) consistency_rate: Option<f64>,
    pub(crate) first_shown_rate: Option<f64>,
    pub(crate) second_shown_rate: Option<f64>,
}

impl From<PositionBias> for BiasShares {
    fn from(counts: PositionBias) -> Self {
        Self {
            consistency_rate: counts.consistency_rate(),
            first_shown_rate: counts.first_shown_rate(),
            second_shown_rate: counts.second_shown_rate(),
            counts,
        }
    }
}
