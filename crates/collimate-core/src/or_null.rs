//! Optional values in messages.

use std::fmt;

/// An optional value as a configuration file spells it: the value, or `null`.
///
/// # Examples
/// ```
/// use collimate_core::OrNull;
/// assert_eq!(format!("{:?}", OrNull(Some(0))), "0");
/// assert_eq!(format!("{:?}", OrNull(None::<u64>)), "null");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OrNull<T>(pub Option<T>);

impl<T: fmt::Debug> fmt::Debug for OrNull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}
