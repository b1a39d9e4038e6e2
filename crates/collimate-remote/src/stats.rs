//! Costs of calls.

use std::sync::atomic::{AtomicU64, Ordering};

/// Costs of calls. Token counts come from the `usage` of the answers that were used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoteStats {
    /// Number of requests sent, including repeated ones.
    pub requests: u64,
    /// Number of requests that repeated a failed one.
    pub retries: u64,
    /// Number of tokens that the model read.
    pub prompt_tokens: u64,
    /// Number of tokens that the model wrote.
    pub completion_tokens: u64,
    /// Number of used answers without `usage`.
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

/// Summary of a call with a callback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Number of results that are answers.
    pub finished: usize,
    /// Number of results that are errors.
    pub failed: usize,
    /// If true, the callback asked to stop. Other prompts or items then have no result.
    pub stopped: bool,
    /// Costs of the call.
    pub stats: RemoteStats,
}

/// The tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
}

/// [`RemoteStats`] shared between threads.
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
