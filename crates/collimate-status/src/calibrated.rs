//! A filter that keeps self-labels with a chosen precision.

use collimate_core::{OptionError, Passes};
use serde::{Deserialize, Serialize};

use crate::calibrated_plan::InMemory;
use crate::{CalibratedPlan, Decision, LongerWins, MinCount, PairCalibration, StatusError};

/// Options of the calibrated filter.
///
/// | field | default | range |
/// |---|---|---|
/// | `precision` | 0.9 | above 0.5 and below 1 |
/// | `ceiling` | none | above 0.5, at most 1 |
/// | `length_balance` | true | |
/// | `min_count` | max(32, 1 % of the initial pool) | at least 1 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CalibratedConfig {
    /// Smallest probability that a kept label is right, above 0.5 and below 1.
    pub precision: f64,
    /// Share c of the human labels that are right, above 0.5 and at most 1, if known. No model
    /// agrees with noisy annotators more often than this share. With a ceiling, `precision`
    /// therefore refers to the true labels behind the human ones. Null takes the human labels as
    /// true. If two labels of a pair, from two people or from one person twice, agree in a share s
    /// of the pairs, c is (1 + √(2s − 1)) / 2; `collimate label` prints c.
    pub ceiling: Option<f64>,
    /// If true, the longer answer is `chosen` in the same share of kept pairs as in the human labels.
    pub length_balance: bool,
    /// Number of pairs that must pass; if fewer pass, the filter keeps none.
    pub min_count: MinCount,
}

impl Default for CalibratedConfig {
    fn default() -> Self {
        Self {
            precision: 0.9,
            ceiling: None,
            length_balance: true,
            min_count: MinCount::default(),
        }
    }
}

impl CalibratedConfig {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`StatusError::OutOfRange`] for the first violation.
    pub fn check(&self) -> Result<(), StatusError> {
        let Self {
            precision, ceiling, ..
        } = *self;
        let allowed = "above 0.5 and below 1";
        let holds = precision > 0.5 && precision < 1.0;
        OptionError::check("calibrated.precision", precision, allowed, holds)?;
        if let Some(ceiling) = ceiling {
            let allowed = "above 0.5 and at most 1, or absent if the ceiling is not known";
            let holds = ceiling > 0.5 && ceiling <= 1.0;
            OptionError::check("calibrated.ceiling", ceiling, allowed, holds)?;
        }
        self.min_count.check("calibrated.min_count")
    }

    /// Returns the smallest probability of agreeing with a human label at which a pair is kept.
    ///
    /// ```text
    /// threshold = precision · c + (1 − precision) · (1 − c)
    /// ```
    ///
    /// A label that is right with probability `precision` agrees this often with an annotator who
    /// is right with probability c. Without a ceiling c is 1.
    ///
    /// # Examples
    /// ```
    /// use collimate_status::CalibratedConfig;
    /// let config = CalibratedConfig { ceiling: Some(0.8), ..CalibratedConfig::default() };
    /// assert!((config.threshold() - 0.74).abs() < 1e-12);
    /// ```
    pub fn threshold(&self) -> f64 {
        let ceiling = self.ceiling.unwrap_or(1.0);
        self.precision * ceiling + (1.0 - self.precision) * (1.0 - ceiling)
    }
}

/// The checked calibrated filter of one loop. It keeps the pairs whose label is right with the
/// wanted probability, or none if there are too few of them.
///
/// The paper's thresholds on single answers do not tell how many labels are wrong. This filter maps
/// the score gap of a pair to a probability. The map ([`PairCalibration`]) was fitted on labelled
/// pairs that the model had not seen. If fewer than `min_count` pairs are sure enough, the filter
/// keeps none, because self-labels do harm there.
///
/// # Examples
/// ```
/// use collimate_status::{CalibratedConfig, CalibratedFilter, LearningStatus, MinCount, PairCalibration};
/// let config = CalibratedConfig { min_count: MinCount::Absolute(1), ..CalibratedConfig::default() };
/// let filter = CalibratedFilter::new(config, PairCalibration { slope: 0.5 }, 2)?;
/// // σ(0.5 · 2) = 0.73 is not enough, σ(0.5 · 5) = 0.92 is.
/// let decision = filter.decide(&[(1.0, -1.0), (-2.0, 3.0)]);
/// assert_eq!(decision.status, Some(LearningStatus::Confident));
/// assert_eq!((decision.selection.kept[0].index, decision.selection.kept[0].swapped), (1, true));
/// # Ok::<(), collimate_status::StatusError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibratedFilter {
    config: CalibratedConfig,
    calibration: PairCalibration,
    pub(crate) min_count: usize,
    pub(crate) longer_wins: Option<LongerWins>,
    pub(crate) go_anyway: bool,
}

impl CalibratedFilter {
    /// Makes a filter for a pool that had `initial_pool` pairs before the first loop.
    ///
    /// # Errors
    /// Returns the errors of [`CalibratedConfig::check`], and [`StatusError::OutOfRange`] for a
    /// slope that is negative or not finite.
    pub fn new(
        config: CalibratedConfig,
        calibration: PairCalibration,
        initial_pool: usize,
    ) -> Result<Self, StatusError> {
        config.check()?;
        let slope = calibration.slope;
        let holds = slope.is_finite() && slope >= 0.0;
        OptionError::check("slope", slope, "finite and at least 0", holds)?;
        Ok(Self {
            config,
            calibration,
            min_count: config.min_count.count(initial_pool),
            longer_wins: None,
            go_anyway: false,
        })
    }

    /// Returns the filter with the number of human labels in which the longer answer wins.
    #[must_use]
    pub fn with_longer_wins(self, longer_wins: LongerWins) -> Self {
        Self {
            longer_wins: self.config.length_balance.then_some(longer_wins),
            ..self
        }
    }

    /// Returns the filter without the refusal: before lengths are balanced, it keeps at least the
    /// `min_count` surest pairs, however unsure they are. This serves to measure if the refusal
    /// was right.
    #[must_use]
    pub fn going_anyway(self) -> Self {
        Self {
            go_anyway: true,
            ..self
        }
    }

    /// Decides from the scores of both answers of every pair left in the pool, without lengths.
    ///
    /// The answer with the larger score becomes `chosen`. Pairs with equal scores are left, and so
    /// are pairs with a score that is not finite. The score of a kept pair is the probability that
    /// its label agrees with a human label.
    pub fn decide(&self, scores: &[(f32, f32)]) -> Decision {
        self.decide_of_lengths(scores, &[])
    }

    /// Decides like [`decide`](Self::decide), and balances the lengths of the answers. If the
    /// longer answer wins (or loses) in too many kept pairs, the least sure pairs of that kind are
    /// left. The number that stays fits the number of pairs of the other kind, plus one (Laplace).
    /// `lengths` holds the lengths of both answers of each pair, in tokens; a pair beyond the end of
    /// the list has no length.
    pub fn decide_of_lengths(&self, scores: &[(f32, f32)], lengths: &[(usize, usize)]) -> Decision {
        let pairs = InMemory { scores, lengths };
        let Ok(mut plan) = self.plan(pairs);
        let summary = *plan.summary();
        let pairs = pairs.pairs();
        summary.decision(pairs.map(|(scores, lengths)| plan.judge(scores, lengths)))
    }

    /// Plans the decision in passes over the scores and the lengths of both answers of every pair
    /// left in the pool, in constant memory. The plan then gives the verdict on each pair. A pair
    /// without lengths is given as equally long.
    ///
    /// There are two passes. A search for the surest pairs takes one more, or up to five more for
    /// more than 65,536 pairs. There is one search if lengths must be balanced, and one if the
    /// filter continues with too few sure pairs ([`going_anyway`](Self::going_anyway)). All numbers
    /// equal those of [`decide_of_lengths`](Self::decide_of_lengths) to the last bit.
    ///
    /// # Errors
    /// Returns the error of a pass.
    pub fn plan<P>(&self, pairs: P) -> Result<CalibratedPlan, P::Error>
    where
        P: Passes<Item = ((f32, f32), (usize, usize))>,
    {
        CalibratedPlan::new(self, pairs)
    }

    /// Returns the probability that the label of the pair agrees with a human label.
    pub(crate) fn sure(&self, (first, second): (f32, f32)) -> f64 {
        let gap = (f64::from(first) - f64::from(second)).abs();
        self.calibration.probability(gap)
    }

    pub(crate) fn threshold(&self) -> f64 {
        self.config.threshold()
    }
}
