//! Parallel batches: the state that they share, and the merging of their results.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use collimate_core::{Completion, GenerateError, Sampling};
use collimate_data::TextTokenizer;
use collimate_nn::{CausalLm, KvCache};
use rayon::prelude::*;

use super::batch::{Batch, Written};
use super::generator::{BatchLimits, TextGenerator};
use super::sample::SampleRule;
use super::text::special_ids;
use super::watch::{GenerationProgress, Watch};

/// State that the lanes of a call share: the waiting prompts and the watcher.
pub(super) struct Work<'a, 'w> {
    pub(super) prompts: &'a [Vec<u32>],
    /// For each prompt, the number of earlier occurrences of the same prompt.
    pub(super) repeats: Vec<usize>,
    pub(super) sampling: &'a Sampling,
    pub(super) rule: SampleRule,
    /// Special tokens that are stop texts.
    pub(super) stop_ids: Vec<u32>,
    /// Index of the next prompt that was not read.
    next: AtomicUsize,
    /// Set if a lane ends early, so that the others stop.
    ended: AtomicBool,
    shared: Mutex<SharedProgress<'w>>,
}

pub(super) struct SharedProgress<'w> {
    pub(super) watch: &'w mut dyn Watch,
    pub(super) progress: GenerationProgress,
}

impl<'a, 'w> Work<'a, 'w> {
    pub(super) fn new(
        tokenizer: &TextTokenizer,
        prompts: &'a [Vec<u32>],
        sampling: &'a Sampling,
        watch: &'w mut dyn Watch,
    ) -> Result<Self, GenerateError> {
        let rule = SampleRule::new(sampling)?;
        let total = prompts.len().checked_mul(sampling.n);
        let total = total.ok_or_else(|| GenerateError::Option {
            option: "n",
            value: sampling.n.to_string(),
            allowed: "small enough that n times the number of prompts can be counted",
        })?;
        let mut times: HashMap<&[u32], usize> = HashMap::new();
        let repeats = prompts.iter().map(|ids| {
            let times = times.entry(ids.as_slice()).or_default();
            *times += 1;
            *times - 1
        });
        Ok(Self {
            repeats: repeats.collect(),
            prompts,
            sampling,
            rule,
            stop_ids: special_ids(tokenizer, &sampling.stop),
            next: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            shared: Mutex::new(SharedProgress {
                watch,
                progress: GenerationProgress {
                    finished: 0,
                    total,
                    tokens: 0,
                },
            }),
        })
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, SharedProgress<'w>> {
        // If a watcher panicked, it has ended its own lane.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the index of the next waiting prompt; the number of prompts if none waits.
    pub(super) fn next(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    /// Returns true if a lane has ended early.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Takes the prompt. Returns false if another lane has taken it.
    pub(super) fn takes(&self, prompt: usize) -> bool {
        let order = Ordering::Relaxed;
        let taken = self.next.compare_exchange(prompt, prompt + 1, order, order);
        taken.is_ok()
    }

    /// Runs all lanes, each with its share of the limits, and merges their results.
    pub(super) fn run<M: CausalLm>(
        &self,
        generator: &TextGenerator<M>,
        cache: M::Cache,
        lanes: usize,
        limits: BatchLimits,
    ) -> Result<Vec<Vec<Completion>>, GenerateError> {
        let lane = |index: usize, cache: M::Cache| {
            let limits = BatchLimits {
                rows: part(limits.rows, lanes, index),
                tokens: part(limits.tokens, lanes, index),
                ..limits
            };
            let mut guard = EndsOthers {
                work: self,
                armed: true,
            };
            let written = Batch::new(generator, cache, self, limits, lanes == 1).run();
            guard.armed = written.is_err();
            written
        };
        let mut caches: Vec<_> = (1..lanes).map(|_| cache.fresh()).collect();
        caches.push(cache);
        // A single lane also runs in the pool. From outside, each of its many small parallel
        // sections would cost a switch of threads.
        let parts: Vec<Result<Written, GenerateError>> = caches
            .into_par_iter()
            .with_max_len(1)
            .enumerate()
            .map(|(index, cache)| lane(index, cache))
            .collect();
        let mut results = vec![Vec::new(); self.prompts.len()];
        let mut stopped = None;
        for part in parts {
            match part {
                Ok(written) => {
                    for (prompt, samples) in written {
                        results[prompt] = samples.into_iter().flatten().collect();
                    }
                }
                // A lane that was only stopped by another lane does not replace that lane's error.
                Err(GenerateError::Interrupted) => {
                    stopped.get_or_insert(GenerateError::Interrupted);
                }
                Err(error) => stopped = Some(error),
            }
        }
        stopped.map_or(Ok(results), Err)
    }
}

/// Returns a lane's share of a number, at least 1.
fn part(whole: usize, lanes: usize, index: usize) -> usize {
    (whole / lanes + usize::from(index < whole % lanes)).max(1)
}

/// Ends the other lanes if a lane fails or panics.
struct EndsOthers<'a, 'p, 'w> {
    work: &'a Work<'p, 'w>,
    armed: bool,
}

impl Drop for EndsOthers<'_, '_, '_> {
    fn drop(&mut self) {
        if self.armed {
            self.work.ended.store(true, Ordering::Relaxed);
        }
    }
}
