//! Repetition of requests, a limited number of times.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, BlockingRetryable, ExponentialBuilder};

use super::fault::Fault;
use super::stop::Stop;
use crate::HubError;

/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Longest wait that a server may request.
const LONGEST_REQUESTED: Duration = Duration::from_secs(120);

/// Rules of repetition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) retries: usize,
    pub(super) first_wait: Duration,
}

impl Retry {
    /// Calls `once` with the number of the attempt, from 1, until there is a result or an error
    /// that no repetition remedies.
    pub(super) fn run<T>(
        self,
        stop: &Stop,
        mut once: impl FnMut(usize) -> Result<T, Fault>,
    ) -> Result<T, HubError> {
        let attempts = Cell::new(0);
        // The iterator of waits does not see the fault, so the wait of the server is stored here.
        let requested = AtomicU64::new(0);
        let waits = ExponentialBuilder::new()
            .with_min_delay(self.first_wait)
            .with_max_delay(LONGEST_WAIT.max(self.first_wait))
            .with_max_times(self.retries)
            .with_jitter()
            // Processes that fail together must not repeat together.
            .with_jitter_seed(RandomState::new().build_hasher().finish())
            .build()
            .map(|wait| wait.max(Duration::from_millis(requested.load(Ordering::Relaxed))));
        // The sleeper of backon may not borrow.
        let sleeping = stop.clone();
        let attempt = || {
            attempts.set(attempts.get() + 1);
            once(attempts.get())
        };
        attempt
            .retry(waits)
            .when(|fault: &Fault| {
                let wait = fault.retry_after.unwrap_or_default();
                let wait = wait.min(LONGEST_REQUESTED).as_millis();
                requested.store(wait as u64, Ordering::Relaxed);
                fault.again && !stop.is_asked()
            })
            .notify(|fault, wait| {
                let wait = wait.as_secs_f64();
                tracing::warn!(attempt = attempts.get(), wait, error = %fault.error, "retrying");
            })
            .sleep(move |wait| sleeping.wait(wait))
            .call()
            .map_err(|fault| fault.error)
    }
}
