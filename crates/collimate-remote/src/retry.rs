//! Asking until there is an answer, finitely often.

use collimate_core::Key;

use crate::backoff::Backoff;
use crate::client::{Client, Fault};
use crate::pool::Stop;
use crate::stats::{Tally, Usage};
use crate::{ApiKey, RemoteConfig, RemoteError};

/// Why the body of a success cannot be used.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Unusable {
    /// Cut or garbled: another answer may be whole.
    Broken(String),
    /// Whole, and the next one would say the same.
    Final(String),
    /// The server does not answer this prompt; it may answer others.
    Refused(String),
}

/// Asks one URL.
#[derive(Debug)]
pub(crate) struct Asker {
    client: Client,
    backoff: Backoff,
    max_retries: usize,
}

/// What belongs to one call.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) stop: Stop,
    pub(crate) tally: Tally,
}

impl Asker {
    /// Of a checked configuration.
    pub(crate) fn new(config: &RemoteConfig, url: String, key: Option<ApiKey>) -> Self {
        Self {
            client: Client::new(config, url, key),
            backoff: Backoff::new(config),
            max_retries: config.max_retries,
        }
    }

    /// What `read` makes of the answer to `body`. `place` names the request for the jitter.
    pub(crate) fn ask<T>(
        &self,
        call: &Call,
        place: Key,
        body: &[u8],
        read: impl Fn(&[u8]) -> Result<(T, Option<Usage>), Unusable>,
    ) -> Result<T, RemoteError> {
        let mut attempt = 0;
        loop {
            if call.stop.is_set() {
                return Err(RemoteError::Stopped);
            }
            call.tally.request(attempt > 0);
            attempt += 1;
            let answer = self.client.post(body, attempt);
            let fault = match answer
                .and_then(|bytes| read(&bytes).map_err(|unusable| self.unusable(unusable, attempt)))
            {
                Ok((answer, usage)) => {
                    call.tally.used(usage);
                    return Ok(answer);
                }
                Err(fault) => fault,
            };
            if !fault.again || attempt > self.max_retries {
                return Err(fault.error);
            }
            let wait = self.backoff.wait(place, attempt, fault.retry_after);
            tracing::warn!(
                attempt,
                of = self.max_retries + 1,
                wait = wait.as_secs_f64(),
                error = %fault.error,
                "asking again"
            );
            if call.stop.wait(wait) {
                return Err(RemoteError::Stopped);
            }
        }
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
            retry_after: None,
            error,
        }
    }
}
