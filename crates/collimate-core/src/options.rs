//! Options, their ranges, and the error for a value out of range.

use std::fmt::Debug;

use thiserror::Error;

/// An option, or another number given by the caller, that is out of range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path} is {value} but must be {allowed}")]
pub struct OptionError {
    /// Name of the option in the configuration, such as `adamw.beta1`.
    pub path: String,
    /// Value of the option.
    pub value: String,
    /// Description of the allowed values.
    pub allowed: String,
}

impl OptionError {
    /// Makes an error for the option at `path` with `value`; `allowed` describes the right values.
    pub fn new(path: &str, value: impl ToString, allowed: &str) -> Self {
        Self {
            path: path.to_owned(),
            value: value.to_string(),
            allowed: allowed.to_owned(),
        }
    }

    /// Returns an error unless `holds` is true.
    ///
    /// # Errors
    /// The error of [`OptionError::new`].
    ///
    /// # Examples
    /// ```
    /// use collimate_core::OptionError;
    /// let batch = 0;
    /// let error = OptionError::check("batch", batch, "at least 1", batch >= 1).unwrap_err();
    /// assert_eq!(error.to_string(), "batch is 0 but must be at least 1");
    /// ```
    pub fn check(path: &str, value: impl ToString, allowed: &str, holds: bool) -> Result<(), Self> {
        match holds {
            true => Ok(()),
            false => Err(Self::new(path, value, allowed)),
        }
    }
}

/// Returns an error for the first row that does not hold. Each row gives the result of the check,
/// the path, the value and the allowed values in words.
///
/// # Errors
/// The error of the first row that does not hold.
///
/// # Examples
/// ```
/// use collimate_core::check_options;
/// let (epochs, rate) = (1, 2.0);
/// let error = check_options(&[
///     (epochs >= 1, "epochs", &epochs, "at least 1"),
///     (rate <= 1.0, "rate", &rate, "at most 1"),
/// ]);
/// assert_eq!(error.unwrap_err().to_string(), "rate is 2.0 but must be at most 1");
/// ```
pub fn check_options(rows: &[(bool, &str, &dyn Debug, &str)]) -> Result<(), OptionError> {
    rows.iter().try_for_each(|&(holds, path, value, allowed)| {
        OptionError::check(path, format!("{value:?}"), allowed, holds)
    })
}

/// A range of allowed numbers. No range contains NaN or an infinite number.
///
/// # Examples
/// ```
/// use collimate_core::Range;
/// assert!(Range::Share.check("gamma", 1.0).is_ok());
/// let error = Range::Share.check("gamma", 1.5).unwrap_err();
/// assert_eq!(error.to_string(), "gamma is 1.5 but must be in [0, 1]");
/// assert!(Range::Finite.check("centre", f64::NAN).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Above 0.
    Positive,
    /// At least 0.
    NotNegative,
    /// Any finite number.
    Finite,
    /// From 0 to below one half.
    BelowHalf,
    /// Above 0 and below one half.
    InsideHalf,
    /// Above 0 and at most 1.
    UpToOne,
    /// Above 0 and below 1.
    InsideOne,
    /// From 0 to below 1.
    BelowOne,
    /// From 0 to 1.
    Share,
}

impl Range {
    /// Returns true if the range contains the value.
    pub fn contains(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::Positive => value > 0.0,
                Self::NotNegative => value >= 0.0,
                Self::Finite => true,
                Self::BelowHalf => (0.0..0.5).contains(&value),
                Self::InsideHalf => value > 0.0 && value < 0.5,
                Self::UpToOne => value > 0.0 && value <= 1.0,
                Self::InsideOne => value > 0.0 && value < 1.0,
                Self::BelowOne => (0.0..1.0).contains(&value),
                Self::Share => (0.0..=1.0).contains(&value),
            }
    }

    /// Describes the range in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Positive => "a finite number above 0",
            Self::NotNegative => "a finite number of at least 0",
            Self::Finite => "a finite number",
            Self::BelowHalf => "at least 0 and below 0.5",
            Self::InsideHalf => "above 0 and below 0.5",
            Self::UpToOne => "above 0 and at most 1",
            Self::InsideOne => "above 0 and below 1",
            Self::BelowOne => "in [0, 1)",
            Self::Share => "in [0, 1]",
        }
    }

    /// Returns an error if the value is out of range.
    ///
    /// # Errors
    /// [`OptionError`] with the path, the value and the range in words.
    pub fn check(self, path: &str, value: f64) -> Result<(), OptionError> {
        OptionError::check(path, value, self.words(), self.contains(value))
    }
}
