//! What a call cost.

use std::sync::atomic::{AtomicU64, Ordering};

/// What calls cost. Tokens are those that the servers' `usage` names, of answers that were used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoteStats {
    /// Requests sent, repeated ones included.
    pub requests: u64,
    /// Requests that repeated a failed one.
    pub retries: u64,
    /// Tokens read by the model.
    pub prompt_tokens: u64,
    /// Tokens written by the model.
    pub completion_tokens: u64,
    /// Answers that were used and did not say how many tokens they cost.
    pub without_usage: u64,
}

impl RemoteStats {
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.retries += other.retries;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.without_usage += other.without_usage;
    }
}

/// How a call with a callback ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Results handed out that are answers.
    pub finished: usize,
    /// Results handed out that are errors.
    pub failed: usize,
    /// True if the callback asked to stop; what is neither finished nor failed was left then.
    pub stopped: bool,
    /// What the call cost.
    pub stats: RemoteStats,
}

/// The tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
}

/// [`RemoteStats`] that threads share.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: AtomicU64,
    retries: AtomicU64,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    without_usage: AtomicU64,
}

impl Tally {
    pub(crate) fn request(&self, repeated: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.retries.fetch_add(repeated.into(), Ordering::Relaxed);
    }

    pub(crate) fn used(&self, usage: Option<Usage>) {
        match usage {
            Some(usage) => {
                self.prompt_tokens
                    .fetch_add(usage.prompt, Ordering::Relaxed);
                self.completion_tokens
                    .fetch_add(usage.completion, Ordering::Relaxed);
            }
            None => {
                self.without_usage.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn stats(&self) -> RemoteStats {
        RemoteStats {
            requests: self.requests.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            prompt_tokens: self.prompt_tokens.load(Ordering::Relaxed),
            completion_tokens: self.completion_tokens.load(Ordering::Relaxed),
            without_usage: self.without_usage.load(Ordering::Relaxed),
        }
    }
}
