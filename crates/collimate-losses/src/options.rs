//! Ranges of options.

use crate::LossError;

/// What an option may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Range {
    /// Finite and above 0.
    Positive,
    /// Finite and at least 0.
    NotNegative,
    /// Any finite number.
    Finite,
    /// From 0 to below one half.
    BelowHalf,
    /// Above 0 and below one half.
    InsideHalf,
    /// Above 0 and at most 1.
    UpToOne,
}

impl Range {
    fn contains(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::Positive => value > 0.0,
                Self::NotNegative => value >= 0.0,
                Self::Finite => true,
                Self::BelowHalf => (0.0..0.5).contains(&value),
                Self::InsideHalf => value > 0.0 && value < 0.5,
                Self::UpToOne => value > 0.0 && value <= 1.0,
            }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Positive => "a finite number above 0",
            Self::NotNegative => "a finite number, at least 0",
            Self::Finite => "a finite number",
            Self::BelowHalf => "at least 0 and below 0.5",
            Self::InsideHalf => "above 0 and below 0.5",
            Self::UpToOne => "above 0 and at most 1",
        }
    }
}

/// Checks named options of a loss.
pub(crate) fn check(
    loss: &'static str,
    options: &[(&'static str, f64, Range)],
) -> Result<(), LossError> {
    for &(name, value, range) in options {
        if !range.contains(value) {
            return Err(LossError::OutOfRange {
                loss,
                name,
                value,
                allowed: range.words(),
            });
        }
    }
    Ok(())
}

/// Two arguments of one batch have the same length.
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
