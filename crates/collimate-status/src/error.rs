//! What can be wrong with a configuration of this crate.

use thiserror::Error;

/// Why a configuration or an input is refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum StatusError {
    /// The confidence thresholds are out of order or out of range.
    #[error(
        "tau_low = {tau_low} and tau_high = {tau_high} must satisfy \
         0 < tau_low <= 0.5 <= tau_high < 1: set them as in the default, 0.45 and 0.55"
    )]
    ThresholdOrder {
        /// The lower threshold.
        tau_low: f64,
        /// The upper threshold.
        tau_high: f64,
    },
    /// A number lies outside its range.
    #[error("{name} = {value} must be {allowed}")]
    OutOfRange {
        /// Name of the option.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The allowed range, in words.
        allowed: &'static str,
    },
    /// The seed mean was asked for without a seed answer.
    #[error(
        "centre seed_mean needs the scores of the seed answers, got none: pass them or use none"
    )]
    NoSeedScores,
    /// A seed answer's score is not a finite number.
    #[error("the score of seed answer {index} is {value}: a seed mean needs finite scores")]
    SeedNotFinite {
        /// Which answer.
        index: usize,
        /// Its score.
        value: f32,
    },
}

/// Checks one number against its range.
pub(crate) fn in_range(
    name: &'static str,
    value: f64,
    allowed: &'static str,
    holds: bool,
) -> Result<(), StatusError> {
    if holds {
        Ok(())
    } else {
        Err(StatusError::OutOfRange {
            name,
            value,
            allowed,
        })
    }
}
