//! How long to wait before asking again.

use std::time::{Duration, SystemTime};

use collimate_core::{Key, Purpose};
use rand::RngExt;

use crate::RemoteConfig;

/// The waits between attempts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    retry_after_most: Duration,
}

impl Backoff {
    /// Of a checked configuration.
    pub(crate) fn new(config: &RemoteConfig) -> Self {
        Self {
            first: Duration::from_secs_f64(config.backoff_first),
            most: Duration::from_secs_f64(config.backoff_most),
            retry_after_most: Duration::from_secs_f64(config.retry_after_most),
        }
    }

    /// The wait after failed attempt `attempt` (from 1): first·2^(attempt−1), at most `most`, times
    /// a jitter in [0.5, 1) that depends on the request and the attempt alone. A server that says
    /// when to come back is not asked sooner.
    pub(crate) fn wait(&self, place: Key, attempt: usize, asked: Option<Duration>) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        let full = self.first.saturating_mul(factor).min(self.most);
        let jitter: f64 = place
            .step(attempt as u64)
            .rng(Purpose::Order)
            .random_range(0.5..1.0);
        let asked = asked.unwrap_or_default().min(self.retry_after_most);
        full.mul_f64(jitter).max(asked)
    }
}

/// What a `Retry-After` header asks for: seconds or an HTTP date. A date that is past asks for
/// nothing; so does what is neither.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return match seconds >= 0.0 {
            // Longer than any cap.
            true => Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
            false => None,
        };
    }
    httpdate::parse_http_date(value)
        .ok()?
        .duration_since(now)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        let seconds = |value| retry_after(value, now).map(|wait| wait.as_secs_f64());
        assert_eq!(seconds("2"), Some(2.0));
        assert_eq!(seconds(" 0.5 "), Some(0.5));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30.0));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:49:37 GMT"), Some(30.0));
        assert_eq!(seconds("Sat, 05 Nov 1994 08:49:37 GMT"), None);
        assert_eq!(retry_after("1e300", now), Some(Duration::MAX));
        for nothing in ["", "-1", "soon", "NaN", "-inf"] {
            assert_eq!(retry_after(nothing, now), None, "{nothing}");
        }
    }

    #[test]
    fn waits_double_up_to_a_cap_with_the_same_jitter_every_time() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            most: Duration::from_secs(1),
            retry_after_most: Duration::from_secs(5),
        };
        let place = Key::new(0, "test");
        for (attempt, full) in [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (500, 1.0)] {
            let wait = backoff.wait(place, attempt, None);
            let seconds = wait.as_secs_f64();
            assert!(
                (full * 0.499..full).contains(&seconds),
                "{attempt}: {seconds}"
            );
            assert_eq!(wait, backoff.wait(place, attempt, None));
            assert_ne!(wait, backoff.wait(place.with(1), attempt, None));
        }
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(backoff.wait(place, 1, asked(3)), Duration::from_secs(3));
        assert_eq!(backoff.wait(place, 1, asked(60)), Duration::from_secs(5));
        assert!(backoff.wait(place, 5, asked(0)) >= Duration::from_millis(500));
    }
}
