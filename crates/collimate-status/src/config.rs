//! Thresholds, pair rules and their checks.

use collimate_core::{OptionError, Range};
use serde::{Deserialize, Serialize};

use crate::error::StatusError;

/// Number of pairs that a learning status needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum MinCount {
    /// A fixed number of pairs, at least 1, whatever the size of the pool (the paper: 600 on HH).
    Absolute(usize),
    /// A share of the initial pool, but never fewer pairs than a floor.
    Relative {
        /// Smallest number of pairs, at least 1.
        floor: usize,
        /// Share of the initial pool, 0 to 1.
        share: f64,
    },
}

impl MinCount {
    /// Returns the count for a pool that had `initial_pool` pairs before the first loop.
    ///
    /// # Examples
    /// ```
    /// use collimate_status::MinCount;
    /// assert_eq!(MinCount::default().count(1_000), 32);
    /// assert_eq!(MinCount::default().count(60_000), 600);
    /// assert_eq!(MinCount::Absolute(600).count(10), 600);
    /// ```
    pub fn count(self, initial_pool: usize) -> usize {
        match self {
            Self::Absolute(count) => count,
            Self::Relative { floor, share } => {
                // A share such as 0.07 of 100 is 7.000000000000001 in f64, which must still count as 7.
                let part = (share * initial_pool as f64 - 1e-9).ceil().max(0.0);
                floor.max(part as usize)
            }
        }
    }
}

impl MinCount {
    /// Checks the numbers of the option named `path`.
    pub(crate) fn check(self, path: &str) -> Result<(), StatusError> {
        let (count, share) = match self {
            Self::Absolute(count) => (count, 0.0),
            Self::Relative { floor, share } => (floor, share),
        };
        OptionError::check(path, count, "at least 1", count >= 1)?;
        Ok(Range::Share.check(&format!("{path}.share"), share)?)
    }
}

impl Default for MinCount {
    fn default() -> Self {
        Self::Relative {
            floor: 32,
            share: 0.01,
        }
    }
}

/// Thresholds on p = σ(r) and Δp = |p₁ − p₂|.
///
/// | field | default | range |
/// |---|---|---|
/// | `tau_high` | 0.55 | [0.5, 1) |
/// | `tau_low` | 0.45 | (0, 0.5] |
/// | `tau_delta` | 0.30 | [0, 1) |
/// | `min_count` | max(32, 1 % of the initial pool) | at least 1 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Probability above which an answer is surely good, at least 0.5 and below 1.
    pub tau_high: f64,
    /// Probability below which an answer is surely bad, above 0 and at most 0.5.
    pub tau_low: f64,
    /// Difference of probabilities above which the two answers of a pair are told apart, at least 0
    /// and below 1.
    pub tau_delta: f64,
    /// Number of pairs that a learning status needs.
    pub min_count: MinCount,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            tau_high: 0.55,
            tau_low: 0.45,
            tau_delta: 0.30,
            min_count: MinCount::default(),
        }
    }
}

impl Thresholds {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`StatusError::ThresholdOrder`] or [`StatusError::OutOfRange`] for the first violation.
    pub fn check(&self) -> Result<(), StatusError> {
        let Self {
            tau_high,
            tau_low,
            tau_delta,
            min_count,
        } = *self;
        let in_order = tau_low > 0.0 && tau_low <= 0.5 && (0.5..1.0).contains(&tau_high);
        if !in_order {
            return Err(StatusError::ThresholdOrder { tau_low, tau_high });
        }
        Range::BelowOne.check("tau_delta", tau_delta)?;
        min_count.check("min_count")
    }
}

/// Evidence that Status 1 counts, and that decides which pairs Status 1 keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Counts pairs with one answer above `tau_high` and the other below `tau_low`.
    #[default]
    BothAnswers,
    /// Counts answers above `tau_high` or below `tau_low`; a pair with one such answer is kept.
    /// This is the wording of the paper's text. The filter in the paper's released code needs both
    /// answers.
    AnyAnswer,
}

/// Sides of ½ on which the two answers of a pair may lie at Status 2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Sides {
    /// The answers may lie anywhere.
    #[default]
    Any,
    /// Both answers lie above ½ or both below; ½ itself is on neither side.
    Same,
}

/// Rule that decides which pairs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum PairRule {
    /// The learning status decides: Status 1, else Status 2, else no pair is kept (as in the paper).
    Status {
        /// Evidence that counts at Status 1.
        #[serde(default)]
        evidence: Evidence,
        /// Sides of ½ on which the answers may lie at Status 2.
        #[serde(default)]
        sides: Sides,
    },
    /// A pair is kept if it meets the condition of either status. There is no status and no
    /// `min_count` (as in the released code).
    EitherPerPair,
    /// Control: keeps the pairs of Status 1, or none.
    EasyOnly {
        /// Evidence that counts at Status 1.
        #[serde(default)]
        evidence: Evidence,
    },
    /// Control: keeps the pairs of Status 2, or none.
    HardOnly {
        /// Sides of ½ on which the answers may lie.
        #[serde(default)]
        sides: Sides,
    },
    /// Control: keeps every pair that is not a tie; there is no status and no `min_count`.
    Unfiltered,
}

impl Default for PairRule {
    fn default() -> Self {
        Self::Status {
            evidence: Evidence::default(),
            sides: Sides::default(),
        }
    }
}

/// Options of the filter that keeps self-labelled pairs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FilterConfig {
    /// Thresholds on the probabilities of the answers.
    pub thresholds: Thresholds,
    /// Rule that decides which pairs are kept.
    pub rule: PairRule,
    /// Largest number of pairs that a loop keeps, at least 1. Pairs with the largest Δp are kept;
    /// at equal Δp the smaller index is kept. Null sets no limit.
    pub max_kept: Option<usize>,
}

impl FilterConfig {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// Returns the errors of [`Thresholds::check`], and [`StatusError::OutOfRange`] for a
    /// `max_kept` of 0.
    pub fn check(&self) -> Result<(), StatusError> {
        self.thresholds.check()?;
        let (allowed, holds) = (
            "at least 1, or absent for no limit",
            self.max_kept != Some(0),
        );
        Ok(OptionError::check("max_kept", 0, allowed, holds)?)
    }
}
