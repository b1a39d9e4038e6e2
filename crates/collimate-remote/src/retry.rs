//! Repetition of requests until there is an answer, a limited number of times.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, BlockingRetryable, ExponentialBuilder};
use collimate_core::{Key, Purpose};
use rand::RngExt;

use crate::client::{Client, Fault};
use crate::pool::Stop;
use crate::stats::{Tally, Usage};
use crate::{ApiKey, RemoteConfig, RemoteError};

/// Reason why the body of a successful answer cannot be used.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Unusable {
    /// The answer is cut or garbled. Another answer may be complete.
    Broken(String),
    /// The answer is complete, and a repetition would give the same.
    Final(String),
    /// The server refuses this prompt. It may answer others.
    Refused(String),
}

/// Sends requests to one URL.
#[derive(Debug)]
pub(crate) struct Asker {
    client: Client,
    waits: ExponentialBuilder,
    max_retries: usize,
    retry_after_most: Duration,
}

/// State of one call.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) stop: Arc<Stop>,
    pub(crate) tally: Tally,
}

impl Asker {
    /// Makes an asker from a checked configuration.
    pub(crate) fn new(config: &RemoteConfig, url: String, key: Option<ApiKey>) -> Self {
        Self {
            client: Client::new(config, url, key),
            waits: ExponentialBuilder::new()
                .with_min_delay(Duration::from_secs_f64(config.backoff_first))
                .with_max_delay(Duration::from_secs_f64(config.backoff_most))
                .with_max_times(config.max_retries),
            max_retries: config.max_retries,
            retry_after_most: Duration::from_secs_f64(config.retry_after_most),
        }
    }

    /// Sends `body` until there is an answer, and returns the value that `read` takes from it.
    /// `place` identifies the request for the jitter.
    pub(crate) fn ask<T>(
        &self,
        call: &Call,
        place: Key,
        body: &[u8],
        read: impl Fn(&[u8]) -> Result<(T, Option<Usage>), Unusable>,
    ) -> Result<T, RemoteError> {
        let attempts = Cell::new(0);
        let once = || {
            if call.stop.is_set() {
                return Err(Fault::last(RemoteError::Stopped));
            }
            call.tally.request(attempts.get() > 0);
            attempts.update(|before| before + 1);
            let bytes = self.client.post(body, attempts.get())?;
            let (answer, usage) =
                read(&bytes).map_err(|unusable| self.unusable(unusable, attempts.get()))?;
            call.tally.used(usage);
            Ok(answer)
        };
        // A server that names a wait is not asked sooner. The iterator of waits does not see the
        // fault, so the wait of the server is stored here. Nanoseconds of at most a day fit.
        let asked = AtomicU64::new(0);
        let waits = jittered(place, &self.waits)
            .map(|wait| wait.max(Duration::from_nanos(asked.load(Ordering::Relaxed))));
        let stop = Arc::clone(&call.stop);
        once.retry(waits)
            .when(|fault| {
                let wait = fault.retry_after.unwrap_or_default();
                let wait = wait.min(self.retry_after_most).as_nanos();
                asked.store(wait as u64, Ordering::Relaxed);
                fault.again
            })
            .notify(|fault, wait| {
                tracing::warn!(
                    attempt = attempts.get(),
                    of = self.max_retries + 1,
                    wait = wait.as_secs_f64(),
                    error = %fault.error,
                    "retrying"
                );
            })
            .sleep(move |wait| stop.wait(wait))
            .call()
            .map_err(|fault| fault.error)
    }

    fn unusable(&self, unusable: Unusable, attempts: usize) -> Fault {
        let url = self.client.url().to_owned();
        let again = matches!(unusable, Unusable::Broken(_));
        let error = match unusable {
            Unusable::Refused(message) => {
                let message = self.client.shown(&message);
                RemoteError::Refused { url, message }
            }
            Unusable::Broken(message) | Unusable::Final(message) => {
                let message = self.client.shown(&message);
                RemoteError::Answer {
                    url,
                    attempts,
                    message,
                }
            }
        };
        Fault {
            again,
            ..Fault::last(error)
        }
    }
}

/// Returns the waits after attempts 1, 2 and so on. Each wait is multiplied by a jitter in [0.5, 1)
/// that depends only on the request and the attempt.
fn jittered(place: Key, waits: &ExponentialBuilder) -> impl Iterator<Item = Duration> + use<> {
    (1..).zip(waits.build()).map(move |(attempt, full)| {
        let mut rng = place.step(attempt).rng(Purpose::Order);
        full.mul_f64(rng.random_range(0.5..1.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_cap_with_the_same_jitter_every_time() {
        let waits = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(1))
            .with_max_times(500);
        let place = Key::new(0, "test");
        let all: Vec<Duration> = jittered(place, &waits).collect();
        assert_eq!(all, jittered(place, &waits).collect::<Vec<_>>());
        assert_eq!(all.len(), 500);
        let others = jittered(place.with(1), &waits);
        assert!(all.iter().zip(others).all(|(wait, other)| *wait != other));
        for (attempt, full) in [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (500, 1.0)] {
            let seconds = all[attempt - 1].as_secs_f64();
            assert!(
                (full * 0.499..full).contains(&seconds),
                "{attempt}: {seconds}"
            );
        }
    }
}
