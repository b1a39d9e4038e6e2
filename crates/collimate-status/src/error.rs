//! Errors of this crate's configurations and inputs.

use collimate_core::OptionError;
use thiserror::Error;

/// Reason why a configuration or an input is refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum StatusError {
    /// The confidence thresholds are out of order or out of range.
    #[error(
        "tau_low = {tau_low} and tau_high = {tau_high} must satisfy \
         0 < tau_low <= 0.5 <= tau_high < 1: set them as in the default, 0.45 and 0.55"
    )]
    ThresholdOrder {
        /// Lower threshold.
        tau_low: f64,
        /// Upper threshold.
        tau_high: f64,
    },
    /// A number lies outside its range.
    #[error("{} is {} but must be {}", .0.path, .0.value, .0.allowed)]
    OutOfRange(#[from] OptionError),
    /// The seed mean was asked for without a seed answer.
    #[error(
        "centre seed_mean needs the scores of the seed answers, got none: pass the scores, or use \
         the centre none"
    )]
    NoSeedScores,
    /// Two lists that belong together differ in length.
    #[error("{what}: {given} values for {wanted} pairs: give one value for each pair")]
    Length {
        /// Name of the list.
        what: &'static str,
        /// Length of the list.
        given: usize,
        /// Number of pairs.
        wanted: usize,
    },
    /// A number that belongs to a pair is not finite.
    #[error("{what} of pair {index} is {value}: a calibration needs finite scores")]
    PairNotFinite {
        /// Name of the number.
        what: &'static str,
        /// Index of the pair.
        index: usize,
        /// Value of the number.
        value: f64,
    },
    /// A seed answer's score is not a finite number.
    #[error("the score of seed answer {index} is {value}: a seed mean needs finite scores")]
    SeedNotFinite {
        /// Index of the answer.
        index: usize,
        /// Score of the answer.
        value: f32,
    },
}
