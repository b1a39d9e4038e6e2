//! One failed attempt.

use std::time::{Duration, SystemTime};

use crate::HubError;

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct Fault {
    /// If true, the same request may succeed later.
    pub(super) again: bool,
    /// Wait that the server asks for.
    pub(super) retry_after: Option<Duration>,
    /// Error for the caller, with the number of attempts so far.
    pub(super) error: HubError,
}

impl Fault {
    /// Makes a fault that no repetition remedies.
    pub(super) fn last(error: HubError) -> Self {
        Self {
            again: false,
            retry_after: None,
            error,
        }
    }

    /// Makes a fault that a repetition may remedy.
    pub(super) fn passing(error: HubError) -> Self {
        Self {
            again: true,
            ..Self::last(error)
        }
    }
}

impl From<HubError> for Fault {
    fn from(error: HubError) -> Self {
        Self::last(error)
    }
}

/// Reads the wait of a `Retry-After` header: seconds, or the time until an HTTP date.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    date.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        let seconds = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds(" 2 "), Some(2));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30));
        assert_eq!(seconds("Sat, 05 Nov 1994 08:49:37 GMT"), None);
        for nothing in ["", "-1", "soon", "NaN"] {
            assert_eq!(retry_after(nothing, now), None, "{nothing}");
        }
    }
}
