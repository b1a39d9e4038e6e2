//! The pair filter: scores go in, a decision comes out.

use collimate_core::{Kept, LeaveReason, Left, Range, Selection};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::counts::{Pair, easy_count, hard_count};
use crate::{
    Evidence, FilterConfig, LearningStatus, PairCounts, PairRule, Sides, Spread, StatusError,
    identify_status,
};

/// Number of pairs per piece of parallel work. It is fixed, so that sums do not depend on the
/// number of threads.
const CHUNK: usize = 4096;

/// Decision of a filter, with the numbers behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Learning status; `None` for rules without a status.
    pub status: Option<LearningStatus>,
    /// Pairs kept, with Δp as score, and pairs left, with reasons.
    pub selection: Selection,
    /// Number of pairs that meet each condition.
    pub counts: PairCounts,
    /// Number of pairs that a status needed.
    pub min_count: usize,
    /// Mean and spread of the probabilities.
    pub probabilities: Spread,
}

impl Decision {
    /// Returns true if the loop should stop: the status says so, or nothing was kept.
    pub fn converged(&self) -> bool {
        let stops = matches!(
            self.status,
            Some(LearningStatus::Converged | LearningStatus::NoConfidence)
        );
        stops || self.selection.kept.is_empty()
    }
}

/// The checked filter of one loop (equations 1 to 4 of <https://arxiv.org/abs/2411.00418>).
///
/// # Examples
/// ```
/// use collimate_status::{FilterConfig, LearningStatus, MinCount, PairFilter};
/// let mut config = FilterConfig::default();
/// config.thresholds.min_count = MinCount::Absolute(1);
/// let filter = PairFilter::new(config, 0.0, 2)?;
/// let decision = filter.decide(&[(-1.0, 1.0), (2.0, 2.0)]);
/// assert_eq!(decision.status, Some(LearningStatus::Easy));
/// assert!(decision.selection.kept[0].swapped);
/// # Ok::<(), collimate_status::StatusError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairFilter {
    config: FilterConfig,
    centre: f64,
    min_count: usize,
}

/// Condition on each pair once the status is known.
#[derive(Clone, Copy)]
enum Condition {
    Easy(Evidence),
    Hard(Sides),
    Either,
    Any,
    Nothing,
}

impl PairFilter {
    /// Makes a filter with the score `centre` (see [`ScoreCentre`](crate::ScoreCentre)) for a pool
    /// that had `initial_pool` pairs before the first loop.
    ///
    /// # Errors
    /// Returns the errors of [`FilterConfig::check`], and [`StatusError::OutOfRange`] for a centre
    /// that is not finite.
    pub fn new(
        config: FilterConfig,
        centre: f64,
        initial_pool: usize,
    ) -> Result<Self, StatusError> {
        config.check()?;
        Range::Finite.check("centre", centre)?;
        Ok(Self {
            config,
            centre,
            min_count: config.thresholds.min_count.count(initial_pool),
        })
    }

    /// Decides from the scores of both answers of every pair left in the pool.
    ///
    /// The answer with the larger p becomes `chosen`: a kept pair is `swapped` if that is the
    /// second. A pair with p₁ = p₂ is left under every rule, because its order means nothing. All
    /// inequalities are strict.
    pub fn decide(&self, scores: &[(f32, f32)]) -> Decision {
        let p = |score: f32| {
            if score.is_finite() {
                crate::probability(score, self.centre)
            } else {
                f64::NAN
            }
        };
        self.decide_pairs(scores, |&(first, second)| (p(first), p(second)))
    }

    /// Decides like [`PairFilter::decide`], but from probabilities instead of scores; the centre
    /// has no effect. A pair with a probability outside [0, 1] is left as not finite.
    pub fn decide_probabilities(&self, probabilities: &[(f64, f64)]) -> Decision {
        self.decide_pairs(probabilities, |&pair| pair)
    }

    fn decide_pairs<T: Sync>(&self, inputs: &[T], p: impl Fn(&T) -> (f64, f64) + Sync) -> Decision {
        let pairs: Vec<Pair> = inputs
            .par_chunks(CHUNK)
            .flat_map_iter(|chunk| {
                chunk
                    .iter()
                    .map(|input| Pair::new(p(input), &self.config.thresholds))
            })
            .collect();
        let counts = pairs
            .par_chunks(CHUNK)
            .map(|chunk| {
                chunk
                    .iter()
                    .map(Pair::counts)
                    .fold(PairCounts::default(), PairCounts::merge)
            })
            .reduce(PairCounts::default, PairCounts::merge);
        let status = self.status(&counts);
        Decision {
            status,
            selection: self.select(&pairs, self.condition(status)),
            counts,
            min_count: self.min_count,
            probabilities: spread(&pairs),
        }
    }

    fn status(&self, counts: &PairCounts) -> Option<LearningStatus> {
        let enough = |count: usize, status| {
            if count >= self.min_count {
                status
            } else {
                LearningStatus::Converged
            }
        };
        match self.config.rule {
            PairRule::Status { evidence, sides } => {
                Some(identify_status(counts, evidence, sides, self.min_count))
            }
            PairRule::EasyOnly { evidence } => {
                Some(enough(easy_count(counts, evidence), LearningStatus::Easy))
            }
            PairRule::HardOnly { sides } => {
                Some(enough(hard_count(counts, sides), LearningStatus::Hard))
            }
            PairRule::EitherPerPair | PairRule::Unfiltered => None,
        }
    }

    fn condition(&self, status: Option<LearningStatus>) -> Condition {
        let (evidence, sides) = match self.config.rule {
            PairRule::Status { evidence, sides } => (evidence, sides),
            PairRule::EasyOnly { evidence } => (evidence, Sides::Any),
            PairRule::HardOnly { sides } => (Evidence::BothAnswers, sides),
            PairRule::EitherPerPair => return Condition::Either,
            PairRule::Unfiltered => return Condition::Any,
        };
        match status {
            Some(LearningStatus::Easy) => Condition::Easy(evidence),
            Some(LearningStatus::Hard) => Condition::Hard(sides),
            Some(
                LearningStatus::Converged
                | LearningStatus::Confident
                | LearningStatus::NoConfidence,
            )
            | None => Condition::Nothing,
        }
    }

    fn select(&self, pairs: &[Pair], condition: Condition) -> Selection {
        let mut selection = Selection::default();
        for (index, pair) in pairs.iter().enumerate() {
            match reason_to_leave(pair, condition) {
                Some(reason) => selection.left.push(Left { index, reason }),
                None => selection.kept.push(Kept {
                    index,
                    swapped: pair.p.1 > pair.p.0,
                    score: pair.delta(),
                }),
            }
        }
        if let Some(limit) = self.config.max_kept {
            limit_to(&mut selection, limit);
        }
        selection
    }
}

fn reason_to_leave(pair: &Pair, condition: Condition) -> Option<LeaveReason> {
    if !pair.finite {
        return Some(LeaveReason::NotFinite);
    }
    if pair.tie() {
        return Some(LeaveReason::Tie);
    }
    let holds = match condition {
        Condition::Nothing => return Some(LeaveReason::Converged),
        Condition::Hard(Sides::Same) if pair.hard && !pair.same_side => {
            return Some(LeaveReason::OppositeSides);
        }
        Condition::Easy(Evidence::BothAnswers) => pair.easy,
        Condition::Easy(Evidence::AnyAnswer) => pair.confident.0 || pair.confident.1,
        Condition::Hard(_) => pair.hard,
        Condition::Either => pair.easy || pair.hard,
        Condition::Any => true,
    };
    (!holds).then_some(LeaveReason::BelowThreshold)
}

/// Keeps the `limit` pairs with the largest Δp and drops the other kept pairs. Of pairs with equal
/// Δp, the pair with the smaller index is kept.
fn limit_to(selection: &mut Selection, limit: usize) {
    if selection.kept.len() <= limit {
        return;
    }
    selection
        .kept
        .sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
    let over = selection.kept.split_off(limit);
    selection.kept.sort_by_key(|kept| kept.index);
    selection.left.extend(over.iter().map(|kept| Left {
        index: kept.index,
        reason: LeaveReason::OverLimit,
    }));
    selection.left.sort_by_key(|left| left.index);
}

/// Computes the spread in one pass in input order, in f64: the same bytes for every thread count.
fn spread(pairs: &[Pair]) -> Spread {
    spread_of(|| {
        pairs
            .iter()
            .filter(|pair| pair.finite)
            .flat_map(|pair| [pair.p.0, pair.p.1])
    })
}

/// Computes mean, deviation, minimum and maximum of numbers; all are 0 if there are none.
pub(crate) fn spread_of<I: Iterator<Item = f64>>(finite: impl Fn() -> I) -> Spread {
    let n = finite().count();
    if n == 0 {
        return Spread::default();
    }
    let mean = finite().sum::<f64>() / n as f64;
    let variance = finite().map(|p| (p - mean) * (p - mean)).sum::<f64>() / n as f64;
    Spread {
        mean,
        sd: variance.sqrt(),
        min: finite().fold(f64::INFINITY, f64::min),
        max: finite().fold(f64::NEG_INFINITY, f64::max),
    }
}
