//! The pair filter: scores go in, a decision comes out.

use collimate_core::{Passes, Range, Selection};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::counts::{easy_count, hard_count, stops};
use crate::pair_plan::Probabilities;
use crate::{
    FilterConfig, LearningStatus, PairCounts, PairPlan, PairRule, Spread, StatusError,
    identify_status,
};

/// Smallest number of pairs per piece of parallel work.
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
        stops(self.status) || self.selection.kept.is_empty()
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
    pub(crate) config: FilterConfig,
    centre: f64,
    pub(crate) min_count: usize,
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
        let probabilities: Vec<(f64, f64)> = scores
            .par_iter()
            .with_min_len(CHUNK)
            .map(|&scores| self.probabilities(scores))
            .collect();
        self.decide_probabilities(&probabilities)
    }

    /// Decides like [`PairFilter::decide`], but from probabilities instead of scores; the centre
    /// has no effect. A pair with a probability outside [0, 1] is left as not finite.
    pub fn decide_probabilities(&self, probabilities: &[(f64, f64)]) -> Decision {
        let Ok(mut plan) = self.plan_probabilities(probabilities);
        let summary = *plan.summary();
        let pairs = probabilities.iter();
        summary.decision(pairs.map(|&pair| plan.judge_probabilities(pair)))
    }

    /// Plans the decision in passes over the scores of both answers of every pair left in the pool,
    /// in constant memory. The plan then gives the verdict on each pair.
    ///
    /// There are two passes. With `max_kept` and more than 65,536 pairs there are up to six. All
    /// numbers equal those of [`PairFilter::decide`] to the last bit.
    ///
    /// # Errors
    /// Returns the error of a pass.
    pub fn plan<P: Passes<Item = (f32, f32)>>(&self, scores: P) -> Result<PairPlan, P::Error> {
        let filter = self;
        PairPlan::new(filter, Probabilities { filter, scores })
    }

    /// Plans like [`PairFilter::plan`], but from probabilities instead of scores, as
    /// [`PairFilter::decide_probabilities`] decides.
    ///
    /// # Errors
    /// Returns the error of a pass.
    pub fn plan_probabilities<P: Passes<Item = (f64, f64)>>(
        &self,
        probabilities: P,
    ) -> Result<PairPlan, P::Error> {
        PairPlan::new(self, probabilities)
    }

    /// Returns the probabilities of both answers; NaN for a score that is not finite.
    pub(crate) fn probabilities(&self, (first, second): (f32, f32)) -> (f64, f64) {
        let p = |score: f32| {
            if score.is_finite() {
                crate::probability(score, self.centre)
            } else {
                f64::NAN
            }
        };
        (p(first), p(second))
    }

    pub(crate) fn status(&self, counts: &PairCounts) -> Option<LearningStatus> {
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
}
