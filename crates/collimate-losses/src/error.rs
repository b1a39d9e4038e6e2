//! Errors of losses and their options.

use collimate_core::OptionError;
use thiserror::Error;

/// Reason why a loss is refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum LossError {
    /// An option lies outside its range.
    #[error("{loss}: {} is {} but must be {}", .option.path, .option.value, .option.allowed)]
    OutOfRange {
        /// Name of the loss.
        loss: &'static str,
        /// The option with its value and its range.
        option: OptionError,
    },
    /// Tensors that belong together differ in length.
    #[error("{loss}: {name} has {given} values, but the batch has {batch}")]
    Length {
        /// Name of the loss.
        loss: &'static str,
        /// Name of the argument.
        name: &'static str,
        /// Length of the argument.
        given: usize,
        /// Length of the first argument.
        batch: usize,
    },
    /// A loss that compares with a reference has none.
    #[error("{loss} compares with a reference model: give the reference's log-probabilities")]
    NoReference {
        /// Name of the loss.
        loss: &'static str,
    },
    /// A loss that averages over tokens has no token counts.
    #[error("{loss} averages over tokens: give the token counts of the completions")]
    NoTokenCounts {
        /// Name of the loss.
        loss: &'static str,
    },
    /// A completion has no tokens, so it has no mean.
    #[error(
        "{loss}: {name}[{index}] is 0: a completion without tokens has no mean log-probability"
    )]
    NoTokens {
        /// Name of the loss.
        loss: &'static str,
        /// Name of the argument.
        name: &'static str,
        /// Index of the pair.
        index: usize,
    },
    /// Two options exclude each other.
    #[error("{loss}: {message}")]
    Conflict {
        /// Name of the loss.
        loss: &'static str,
        /// Description of the conflicting options and of what to do.
        message: &'static str,
    },
    /// No loss has this name.
    #[error("there is no loss {name:?}: give one of {known}")]
    UnknownName {
        /// Name that was given.
        name: String,
        /// All known names.
        known: String,
    },
    /// The count for a mean is 0.
    #[error("a mean over 0 examples is not defined: skip the empty batch")]
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
    /// assert_eq!(error.to_string(), "my_loss: beta is 0 but must be above 0");
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
