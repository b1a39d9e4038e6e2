//! The calibrated filter in passes over scores and lengths.

use std::convert::Infallible;

use collimate_core::{LeaveReason, Passes, TopCut, TopSearch, Verdict};

use crate::lengths::{excess, longer_is_chosen};
use crate::spread::{Squares, Sum};
use crate::{CalibratedFilter, LearningStatus, LongerWins, PairCounts, PlanSummary};

/// Scores and lengths of both answers of a pair.
type Pair = ((f32, f32), (usize, usize));

/// A plan that filters any number of pairs in constant memory.
///
/// [`CalibratedFilter::plan`] makes the plan in passes over scores and lengths. One more reading then
/// asks for the [`Verdict`] on every pair. The verdicts are the selection of
/// [`CalibratedFilter::decide_of_lengths`].
///
/// # Examples
/// ```
/// use collimate_core::{LeaveReason, Verdict};
/// use collimate_status::{CalibratedConfig, CalibratedFilter, LearningStatus, MinCount, PairCalibration};
/// let config = CalibratedConfig { min_count: MinCount::Absolute(1), ..CalibratedConfig::default() };
/// let filter = CalibratedFilter::new(config, PairCalibration { slope: 0.5 }, 2)?;
/// // Scores and lengths may come from a file: see `collimate_core::Passes`.
/// let pairs = [((1.0, -1.0), (0, 0)), ((-2.0, 3.0), (0, 0))];
/// let Ok(mut plan) = filter.plan(&pairs[..]);
/// assert_eq!((plan.summary().status, plan.summary().kept), (Some(LearningStatus::Confident), 1));
/// assert_eq!(plan.judge(pairs[0].0, pairs[0].1), Verdict::Left(LeaveReason::BelowThreshold));
/// assert!(matches!(plan.judge(pairs[1].0, pairs[1].1), Verdict::Kept { swapped: true, .. }));
/// # Ok::<(), collimate_status::StatusError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CalibratedPlan {
    filter: CalibratedFilter,
    sure: Sure,
    balance: Option<Balance>,
    summary: PlanSummary,
}

/// The pairs that are sure enough, before lengths are balanced.
#[derive(Debug, Clone, Copy)]
enum Sure {
    /// Pairs that reach the threshold.
    Threshold,
    /// The surest pairs, whether they reach the threshold or not.
    Surest(TopCut),
    /// No pair.
    Nothing,
}

/// The kind of pairs that is too frequent, and the cut between its surest pairs and the rest.
#[derive(Debug, Clone, Copy)]
struct Balance {
    longer: bool,
    cut: TopCut,
}

impl CalibratedPlan {
    pub(crate) fn new<P: Passes<Item = Pair>>(
        filter: &CalibratedFilter,
        mut pairs: P,
    ) -> Result<Self, P::Error> {
        let (counts, sum) = count(filter, &mut pairs)?;
        let passes = counts.confident >= filter.min_count;
        let sure = match (passes, filter.go_anyway) {
            (true, _) => Sure::Threshold,
            (false, true) => {
                let cut = surest(filter, &mut pairs, None, filter.min_count)?;
                Sure::Surest(cut)
            }
            (false, false) => Sure::Nothing,
        };
        let (squares, kept, kinds) = measure(filter, &mut pairs, sum, sure)?;
        let balance = match filter.longer_wins.and_then(|wanted| excess(kinds, wanted)) {
            Some((longer, limit)) => Some(Balance {
                longer,
                cut: surest(filter, &mut pairs, Some(longer), limit)?,
            }),
            None => None,
        };
        let left = balance.map_or(0, |balance| {
            let of_kind = match balance.longer {
                true => kinds.longer,
                false => kinds.shorter,
            };
            of_kind - balance.cut.count()
        });
        let kept = kept - left;
        // Balanced lengths may leave too few pairs, or none if all sure pairs are of one kind.
        let goes = match filter.go_anyway {
            true => kept > 0,
            false => passes && kept >= filter.min_count,
        };
        let (sure, balance, kept) = match goes {
            true => (sure, balance, kept),
            false => (Sure::Nothing, None, 0),
        };
        Ok(Self {
            filter: *filter,
            sure,
            balance,
            summary: PlanSummary {
                status: Some(match goes {
                    true => LearningStatus::Confident,
                    false => LearningStatus::NoConfidence,
                }),
                kept,
                counts,
                min_count: filter.min_count,
                probabilities: squares.spread(),
            },
        })
    }

    /// Returns the summary of the decision.
    pub fn summary(&self) -> &PlanSummary {
        &self.summary
    }

    /// Returns the verdict on the next pair, from the scores and the lengths of both answers. The
    /// score of a kept pair is the probability that the label agrees with a human label. Every pair
    /// must be given once, in the order of the passes.
    pub fn judge(&mut self, scores: (f32, f32), lengths: (usize, usize)) -> Verdict {
        if !is_finite(scores) {
            return Verdict::Left(LeaveReason::NotFinite);
        }
        if is_tie(scores) {
            return Verdict::Left(LeaveReason::Tie);
        }
        let score = self.filter.sure(scores);
        if !self.sure.holds(&self.filter, score) {
            let refused = score >= self.filter.threshold();
            return Verdict::Left(match refused {
                true => LeaveReason::Converged,
                false => LeaveReason::BelowThreshold,
            });
        }
        if let Some(Balance { longer, cut }) = &mut self.balance
            && longer_is_chosen(scores, lengths) == Some(*longer)
            && !cut.keeps(score)
        {
            return Verdict::Left(LeaveReason::LengthBalance);
        }
        Verdict::Kept {
            swapped: scores.1 > scores.0,
            score,
        }
    }
}

impl Sure {
    /// Returns true for a pair that is sure enough. Every pair that is finite and no tie must be
    /// given, in order.
    fn holds(&mut self, filter: &CalibratedFilter, sure: f64) -> bool {
        match self {
            Self::Threshold => sure >= filter.threshold(),
            Self::Surest(cut) => cut.keeps(sure),
            Self::Nothing => false,
        }
    }
}

fn is_finite((first, second): (f32, f32)) -> bool {
    first.is_finite() && second.is_finite()
}

fn is_tie((first, second): (f32, f32)) -> bool {
    first == second
}

/// Counts the pairs by condition.
fn count<P: Passes<Item = Pair>>(
    filter: &CalibratedFilter,
    pairs: &mut P,
) -> Result<(PairCounts, Sum), P::Error> {
    let (mut counts, mut sum) = (PairCounts::default(), Sum::new());
    pairs.pass(&mut |pairs| {
        counts.pairs += pairs.len();
        for &(scores, _) in pairs {
            if !is_finite(scores) {
                counts.not_finite += 1;
                continue;
            }
            let sure = filter.sure(scores);
            sum.add(sure);
            if is_tie(scores) {
                counts.ties += 1;
            } else {
                counts.confident += usize::from(sure >= filter.threshold());
            }
        }
    })?;
    Ok((counts, sum))
}

/// Measures the spread, and counts the pairs that are sure enough: all, and those of each kind.
fn measure<P: Passes<Item = Pair>>(
    filter: &CalibratedFilter,
    pairs: &mut P,
    sum: Sum,
    mut sure: Sure,
) -> Result<(Squares, usize, LongerWins), P::Error> {
    let (mut squares, mut kept, mut kinds) = (sum.squares(), 0, LongerWins::default());
    pairs.pass(&mut |pairs| {
        for &(scores, lengths) in pairs {
            if !is_finite(scores) {
                continue;
            }
            let probability = filter.sure(scores);
            squares.add(probability);
            if !is_tie(scores) && sure.holds(filter, probability) {
                kept += 1;
                match longer_is_chosen(scores, lengths) {
                    Some(true) => kinds.longer += 1,
                    Some(false) => kinds.shorter += 1,
                    None => {}
                }
            }
        }
    })?;
    Ok((squares, kept, kinds))
}

/// Finds the cut that keeps the `count` surest pairs: of all kinds, or of one. If more than `count`
/// pairs of the kind are sure enough, all that the cut keeps are sure enough.
fn surest<P: Passes<Item = Pair>>(
    filter: &CalibratedFilter,
    pairs: &mut P,
    longer: Option<bool>,
    count: usize,
) -> Result<TopCut, P::Error> {
    let mut search = TopSearch::new(count);
    loop {
        pairs.pass(&mut |pairs| {
            for &(scores, lengths) in pairs {
                if !is_finite(scores) || is_tie(scores) {
                    continue;
                }
                if longer.is_none() || longer_is_chosen(scores, lengths) == longer {
                    search.add(filter.sure(scores));
                }
            }
        })?;
        if let Some(cut) = search.end_pass() {
            return Ok(cut);
        }
    }
}

/// Scores and lengths in memory. A pair beyond the end of the lengths has equal lengths.
#[derive(Clone, Copy)]
pub(crate) struct InMemory<'a> {
    pub(crate) scores: &'a [(f32, f32)],
    pub(crate) lengths: &'a [(usize, usize)],
}

impl InMemory<'_> {
    pub(crate) fn pairs(&self) -> impl Iterator<Item = Pair> {
        let no_length = std::iter::repeat(&(0, 0));
        let lengths = self.lengths.iter().chain(no_length);
        let pairs = self.scores.iter().zip(lengths);
        pairs.map(|(&scores, &lengths)| (scores, lengths))
    }
}

/// Number of pairs in a piece.
const PIECE: usize = 4096;

impl Passes for InMemory<'_> {
    type Item = Pair;
    type Error = Infallible;

    fn pass(&mut self, take: &mut dyn FnMut(&[Pair])) -> Result<(), Infallible> {
        let mut pairs = self.pairs();
        let mut piece = Vec::with_capacity(PIECE);
        loop {
            piece.clear();
            piece.extend(pairs.by_ref().take(PIECE));
            if piece.is_empty() {
                return Ok(());
            }
            take(&piece);
        }
    }
}
