//! What can be wrong with a configuration of this crate.

use collimate_core::OptionError;
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
    #[error("{} = {} must be {}", .0.path, .0.value, .0.allowed)]
    OutOfRange(#[from] OptionError),
    /// The seed mean was asked for without a seed answer.
    #[error(
        "centre seed_mean needs the scores of the seed answers, got none: pass them or use none"
    )]
    NoSeedScores,
    /// Two lists that belong together differ in length.
    #[error("{what}: {given} given for {wanted} pairs: give one for each pair")]
    Length {
        /// The list.
        what: &'static str,
        /// Length of the list.
        given: usize,
        /// The number of pairs.
        wanted: usize,
    },
    /// A number of a pair is not finite.
    #[error("{what} of pair {index} is {value}: a calibration needs finite scores")]
    PairNotFinite {
        /// The number.
        what: &'static str,
        /// The pair.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A seed answer's score is not a finite number.
    #[error("the score of seed answer {index} is {value}: a seed mean needs finite scores")]
    SeedNotFinite {
        /// Which answer.
        index: usize,
        /// Its score.
        value: f32,
    },
}
