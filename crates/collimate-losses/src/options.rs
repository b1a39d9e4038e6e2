//! Ranges of options.

pub(crate) use collimate_core::Range;

use crate::LossError;

/// Checks named options of a loss.
pub(crate) fn check(
    loss: &'static str,
    options: &[(&'static str, f64, Range)],
) -> Result<(), LossError> {
    for &(name, value, range) in options {
        range
            .check(name, value)
            .map_err(|option| LossError::OutOfRange { loss, option })?;
    }
    Ok(())
}

/// Checks that two arguments of one batch have the same length.
pub(crate) fn same_length(
    loss: &'static str,
    name: &'static str,
    given: usize,
    batch: usize,
) -> Result<(), LossError> {
    if given == batch {
        return Ok(());
    }
    Err(LossError::Length {
        loss,
        name,
        given,
        batch,
    })
}
