//! What can be wrong with a loss's options.

use thiserror::Error;

/// Why a loss is refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum LossError {
    /// An option lies outside its range.
    #[error("{loss}: {name} = {value} must be {allowed}")]
    OutOfRange {
        /// Which loss.
        loss: &'static str,
        /// Name of the option.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The allowed range, in words.
        allowed: &'static str,
    },
    /// Tensors that belong together differ in length.
    #[error("{loss}: {name} has {given} values, the batch has {batch}")]
    Length {
        /// Which loss.
        loss: &'static str,
        /// Name of the argument.
        name: &'static str,
        /// Its length.
        given: usize,
        /// The length of the first argument.
        batch: usize,
    },
    /// A mean over nothing.
    #[error("a mean over 0 examples is not defined: leave the empty batch out")]
    EmptyCount,
}
