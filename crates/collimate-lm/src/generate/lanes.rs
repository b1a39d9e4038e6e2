//! Batches side by side: what they share, and what they wrote put together.

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

/// What the lanes of a call share: the prompts that wait, and who watches.
pub(super) struct Work<'a, 'w> {
    pub(super) prompts: &'a [Vec<u32>],
    /// How often the same prompt came before.
    pub(super) repeats: Vec<usize>,
    pub(super) sampling: &'a Sampling,
    pub(super) rule: SampleRule,
    /// Special tokens that are stop texts.
    pub(super) stop_ids: Vec<u32>,
    /// The next prompt that was not read.
    next: AtomicUsize,
    /// Set where a lane ends early: the others need not go on.
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
            allowed: "so few that n times the number of prompts can be counted",
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
        // A watcher that panicked has panicked its own lane.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next prompt that waits; beyond the last one where none does.
    pub(super) fn next(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    /// True if a lane has ended early.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// True if this caller is the one that takes the prompt.
    pub(super) fn takes(&self, prompt: usize) -> bool {
        let order = Ordering::Relaxed;
        let taken = self.next.compare_exchange(prompt, prompt + 1, order, order);
        taken.is_ok()
    }

    /// Runs all lanes, each with its part of the limits, and puts together what they wrote.
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
        // One lane runs in the pool too: from outside, each of its many small parallel sections would
        // cost a change of thread.
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
                // What a lane says that only followed another is no news.
                Err(GenerateError::Interrupted) => {
                    stopped.get_or_insert(GenerateError::Interrupted);
                }
                Err(error) => stopped = Some(error),
            }
        }
        stopped.map_or(Ok(results), Err)
    }
}

/// A lane's part of a number, at least 1.
fn part(whole: usize, lanes: usize, index: usize) -> usize {
    (whole / lanes + usize::from(index < whole % lanes)).max(1)
}

/// A lane that fails, or panics, ends the others.
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
