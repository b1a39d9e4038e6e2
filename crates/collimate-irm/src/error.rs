//! What can be wrong with a configuration or an input of this crate.

use collimate_core::OptionError;
use thiserror::Error;

/// Why a configuration or an input is refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum IrmError {
    /// A number lies outside its range.
    #[error("{} = {} must be {}", .0.path, .0.value, .0.allowed)]
    OutOfRange(#[from] OptionError),
    /// Two lists that belong together have different lengths.
    #[error("{list}.{name} has {found} values, expected {expected}")]
    Length {
        /// Which list: `chosen`, `rejected`, `completions`, `margins`.
        list: &'static str,
        /// Which column of it.
        name: &'static str,
        /// Its length.
        found: usize,
        /// The length of what it belongs to.
        expected: usize,
    },
    /// The implicit reward needs a reference.
    #[error(
        "implicit_reward = {kind} needs {list}.reference, got none: pass the reference's \
         log-probabilities or use mean_logp"
    )]
    NoReference {
        /// The implicit reward.
        kind: &'static str,
        /// Which list.
        list: &'static str,
    },
    /// The implicit reward needs token counts.
    #[error(
        "implicit_reward = {kind} needs {list}.tokens, got none: pass the token counts or use \
         log_ratio"
    )]
    NoTokens {
        /// The implicit reward.
        kind: &'static str,
        /// Which list.
        list: &'static str,
    },
    /// A completion has no token to divide by.
    #[error("{list}.tokens[{index}] is 0: a mean needs at least one token")]
    ZeroTokens {
        /// Which list.
        list: &'static str,
        /// Which completion.
        index: usize,
    },
    /// A log-probability is not a finite number.
    #[error("{list}.{name}[{index}] is {value}: log-probabilities must be finite")]
    NotFinite {
        /// Which list.
        list: &'static str,
        /// `policy` or `reference`.
        name: &'static str,
        /// Which completion.
        index: usize,
        /// Its value.
        value: f64,
    },
}

/// Checks that a column is as long as what it belongs to.
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
