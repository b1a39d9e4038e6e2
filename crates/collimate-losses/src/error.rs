//! What can be wrong with a loss's options.

use collimate_core::OptionError;
use thiserror::Error;

/// Why a loss is refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum LossError {
    /// An option lies outside its range.
    #[error("{loss}: {} = {} must be {}", .option.path, .option.value, .option.allowed)]
    OutOfRange {
        /// Which loss.
        loss: &'static str,
        /// The option, the value and the range.
        option: OptionError,
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
    /// A loss that compares with a reference was given none.
    #[error("{loss} compares with a reference model: give the reference's log-probabilities")]
    NoReference {
        /// Which loss.
        loss: &'static str,
    },
    /// A loss that averages over tokens was not told how many there are.
    #[error("{loss} averages over tokens: give the token counts of the completions")]
    NoTokenCounts {
        /// Which loss.
        loss: &'static str,
    },
    /// A completion without tokens has no mean.
    #[error(
        "{loss}: {name}[{index}] is 0: a completion without tokens has no mean log-probability"
    )]
    NoTokens {
        /// Which loss.
        loss: &'static str,
        /// Name of the argument.
        name: &'static str,
        /// Which pair.
        index: usize,
    },
    /// Two options that exclude each other.
    #[error("{loss}: {message}")]
    Conflict {
        /// Which loss.
        loss: &'static str,
        /// Which options, and what to do.
        message: &'static str,
    },
    /// No loss has this name.
    #[error("there is no loss {name:?}: it must be one of {known}")]
    UnknownName {
        /// The name given.
        name: String,
        /// All names.
        known: String,
    },
    /// A mean over nothing.
    #[error("a mean over 0 examples is not defined: leave the empty batch out")]
    EmptyCount,
}

impl LossError {
    /// Checks an option of a loss of your own: for [`DirectLoss::check`](crate::DirectLoss::check).
    ///
    /// # Errors
    /// [`LossError::OutOfRange`] where `holds` is false.
    ///
    /// # Examples
    /// ```
    /// use collimate_losses::LossError;
    /// let beta = 0.0;
    /// let error = LossError::check("my_loss", "beta", beta, "above 0", beta > 0.0).unwrap_err();
    /// assert_eq!(error.to_string(), "my_loss: beta = 0 must be above 0");
    /// ```
    pub fn check(
        loss: &'static str,
        option: &str,
        value: f64,
        allowed: &str,
        holds: bool,
    ) -> Result<(), Self> {
        OptionError::check(option, value, allowed, holds)
            .map_err(|option| Self::OutOfRange { loss, option })
    }
}
