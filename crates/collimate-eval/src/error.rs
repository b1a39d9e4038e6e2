//! Errors of evaluation.

use collimate_core::OptionError;
use thiserror::Error;

/// Reason why an evaluation is refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// There are too few values to evaluate.
    #[error("{what} needs at least {least} values, got {given}")]
    TooFew {
        /// Name of the statistic.
        what: &'static str,
        /// Smallest allowed number of values.
        least: usize,
        /// Number of values given.
        given: usize,
    },
    /// A value is not a finite number.
    #[error("{what}: value {index} is {value}, not a finite number")]
    NotFinite {
        /// Name of the statistic.
        what: &'static str,
        /// Index of the value.
        index: usize,
        /// The value.
        value: f64,
    },
    /// Two lists that belong together differ in length.
    #[error(
        "{what}: {left} values on one side, but {right} on the other: each value needs a partner"
    )]
    Length {
        /// Name of the statistic.
        what: &'static str,
        /// Length of the first list.
        left: usize,
        /// Length of the second list.
        right: usize,
    },
    /// The correlation with a constant is not defined.
    #[error("{what}: all values of one side are equal, so the correlation is not defined")]
    Constant {
        /// Name of the statistic.
        what: &'static str,
    },
    /// An option is outside its range.
    #[error("{} is {} but must be {}", .0.path, .0.value, .0.allowed)]
    OutOfRange(#[from] OptionError),
}

/// Checks that there are at least `least` values, all finite.
pub(crate) fn check_values(
    what: &'static str,
    values: &[f64],
    least: usize,
) -> Result<(), EvalError> {
    if values.len() < least {
        let given = values.len();
        return Err(EvalError::TooFew { what, least, given });
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(EvalError::NotFinite {
            what,
            index,
            value: values[index],
        }),
    }
}

pub(crate) fn check_same_length(
    what: &'static str,
    left: usize,
    right: usize,
) -> Result<(), EvalError> {
    if left == right {
        Ok(())
    } else {
        Err(EvalError::Length { what, left, right })
    }
}

/// Checks that there is at least one pair of scores, and that all scores are finite.
pub(crate) fn check_pairs(what: &'static str, pairs: &[(f32, f32)]) -> Result<(), EvalError> {
    if pairs.is_empty() {
        return Err(EvalError::TooFew {
            what,
            least: 1,
            given: 0,
        });
    }
    for (index, &(chosen, rejected)) in pairs.iter().enumerate() {
        for value in [chosen, rejected] {
            if !value.is_finite() {
                let value = f64::from(value);
                return Err(EvalError::NotFinite { what, index, value });
            }
        }
    }
    Ok(())
}
