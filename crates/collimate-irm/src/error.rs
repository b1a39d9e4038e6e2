//! Errors of this crate's configurations and inputs.

use collimate_core::OptionError;
use thiserror::Error;

/// Reason why a configuration or an input is refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum IrmError {
    /// A number lies outside its range.
    #[error("{} is {} but must be {}", .0.path, .0.value, .0.allowed)]
    OutOfRange(#[from] OptionError),
    /// Two lists that belong together have different lengths.
    #[error("{list}.{name} has {found} values, expected {expected}")]
    Length {
        /// Name of the list: `chosen`, `rejected`, `completions`, `margins`.
        list: &'static str,
        /// Name of the column.
        name: &'static str,
        /// Length of the column.
        found: usize,
        /// Length that the column must have.
        expected: usize,
    },
    /// The implicit reward needs a reference.
    #[error(
        "implicit_reward = {kind} needs {list}.reference, got none: pass the reference's \
         log-probabilities or use mean_logp"
    )]
    NoReference {
        /// Name of the implicit reward.
        kind: &'static str,
        /// Name of the list.
        list: &'static str,
    },
    /// The implicit reward needs token counts.
    #[error(
        "implicit_reward = {kind} needs {list}.tokens, got none: pass the token counts or use \
         log_ratio"
    )]
    NoTokens {
        /// Name of the implicit reward.
        kind: &'static str,
        /// Name of the list.
        list: &'static str,
    },
    /// A completion has no tokens, so its length cannot divide.
    #[error("{list}.tokens[{index}] is 0: a mean needs at least one token")]
    ZeroTokens {
        /// Name of the list.
        list: &'static str,
        /// Index of the completion.
        index: usize,
    },
    /// A log-probability is not a finite number.
    #[error("{list}.{name}[{index}] is {value}: log-probabilities must be finite")]
    NotFinite {
        /// Name of the list.
        list: &'static str,
        /// Name of the column: `policy` or `reference`.
        name: &'static str,
        /// Index of the completion.
        index: usize,
        /// Value of the log-probability.
        value: f64,
    },
}

/// Checks that a column has the expected length.
pub(crate) fn same_length(
    list: &'static str,
    name: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), IrmError> {
    if found == expected {
        Ok(())
    } else {
        Err(IrmError::Length {
            list,
            name,
            found,
            expected,
        })
    }
}
