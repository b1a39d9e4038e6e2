//! The pair filter in passes over the scores.

use collimate_core::{LeaveReason, Passes, TopCut, TopSearch, Verdict};

use crate::condition::Condition;
use crate::counts::Pair;
use crate::spread::Sum;
use crate::{PairCounts, PairFilter, PlanSummary};

/// A plan that filters any number of pairs in constant memory.
///
/// [`PairFilter::plan`] makes the plan in passes over the scores. One more reading then asks for the
/// [`Verdict`] on every pair. The verdicts are the selection of [`PairFilter::decide`].
///
/// # Examples
/// ```
/// use collimate_core::{LeaveReason, Verdict};
/// use collimate_status::{FilterConfig, LearningStatus, MinCount, PairFilter};
/// let mut config = FilterConfig::default();
/// config.thresholds.min_count = MinCount::Absolute(1);
/// let filter = PairFilter::new(config, 0.0, 2)?;
/// // Scores may come from a file: see `collimate_core::Passes`.
/// let scores = [(-1.0, 1.0), (2.0, 2.0)];
/// let Ok(mut plan) = filter.plan(&scores[..]);
/// assert_eq!(plan.summary().status, Some(LearningStatus::Easy));
/// assert!(matches!(plan.judge(scores[0]), Verdict::Kept { swapped: true, .. }));
/// assert_eq!(plan.judge(scores[1]), Verdict::Left(LeaveReason::Tie));
/// # Ok::<(), collimate_status::StatusError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PairPlan {
    filter: PairFilter,
    condition: Condition,
    /// The cut between the largest Δp and the rest, with a limit.
    limit: Option<TopCut>,
    summary: PlanSummary,
}

impl PairPlan {
    /// The plan takes a pass for the status, and a pass for the spread and the limit. With a limit
    /// and more than 65,536 pairs the plan takes up to four more passes.
    pub(crate) fn new<P: Passes<Item = (f64, f64)>>(
        filter: &PairFilter,
        mut probabilities: P,
    ) -> Result<Self, P::Error> {
        let thresholds = &filter.config.thresholds;
        let (mut counts, mut sum) = (PairCounts::default(), Sum::new());
        probabilities.pass(&mut |pairs| {
            for &p in pairs {
                let pair = Pair::new(p, thresholds);
                pair.count_in(&mut counts);
                if pair.finite {
                    sum.add(p.0);
                    sum.add(p.1);
                }
            }
        })?;
        let status = filter.status(&counts);
        let condition = Condition::new(filter.config.rule, status);
        let mut search = filter.config.max_kept.map(TopSearch::new);
        loop {
            let (mut squares, mut kept) = (sum.squares(), 0);
            probabilities.pass(&mut |pairs| {
                for &p in pairs {
                    let pair = Pair::new(p, thresholds);
                    if pair.finite {
                        squares.add(p.0);
                        squares.add(p.1);
                    }
                    if condition.reason_to_leave(&pair).is_none() {
                        kept += 1;
                        search
                            .iter_mut()
                            .for_each(|search| search.add(pair.delta()));
                    }
                }
            })?;
            let limit = match search.as_mut().map(TopSearch::end_pass) {
                Some(None) => continue,
                Some(limit) => limit,
                None => None,
            };
            return Ok(Self {
                filter: *filter,
                condition,
                limit,
                summary: PlanSummary {
                    status,
                    kept: limit.map_or(kept, |limit| limit.count()),
                    counts,
                    min_count: filter.min_count,
                    probabilities: squares.spread(),
                },
            });
        }
    }

    /// Returns the summary of the decision.
    pub fn summary(&self) -> &PlanSummary {
        &self.summary
    }

    /// Returns the verdict on the next pair, from the scores of both answers. The score of a kept
    /// pair is Δp. Every pair must be given once, in the order of the passes.
    pub fn judge(&mut self, scores: (f32, f32)) -> Verdict {
        self.judge_probabilities(self.filter.probabilities(scores))
    }

    /// Returns the verdict on the next pair like [`PairPlan::judge`], but from probabilities, for a
    /// plan of [`PairFilter::plan_probabilities`].
    pub fn judge_probabilities(&mut self, probabilities: (f64, f64)) -> Verdict {
        let pair = Pair::new(probabilities, &self.filter.config.thresholds);
        if let Some(reason) = self.condition.reason_to_leave(&pair) {
            return Verdict::Left(reason);
        }
        let score = pair.delta();
        if self.limit.as_mut().is_some_and(|limit| !limit.keeps(score)) {
            return Verdict::Left(LeaveReason::OverLimit);
        }
        Verdict::Kept {
            swapped: probabilities.1 > probabilities.0,
            score,
        }
    }
}

/// The probabilities of both answers of pairs whose scores are read.
pub(crate) struct Probabilities<'a, P> {
    pub(crate) filter: &'a PairFilter,
    pub(crate) scores: P,
}

/// Number of pairs whose probabilities are in memory.
const PIECE: usize = 4096;

impl<P: Passes<Item = (f32, f32)>> Passes for Probabilities<'_, P> {
    type Item = (f64, f64);
    type Error = P::Error;

    fn pass(&mut self, take: &mut dyn FnMut(&[(f64, f64)])) -> Result<(), P::Error> {
        let Self { filter, scores } = self;
        let mut piece = Vec::new();
        scores.pass(&mut |scores| {
            for scores in scores.chunks(PIECE) {
                piece.clear();
                piece.extend(scores.iter().map(|&scores| filter.probabilities(scores)));
                take(&piece);
            }
        })
    }
}
