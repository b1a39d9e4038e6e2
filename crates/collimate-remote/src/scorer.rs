//! Scores from a server.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use collimate_core::{Completion, Key, Prompt, ScoreError, Scorer};

use crate::pool;
use crate::retry::{Asker, Call};
use crate::score_wire::{Item, Scored, check_item, read, request};
use crate::{ApiKey, Outcome, RemoteConfig, RemoteError, RemoteStats, ScoreConfig};

/// Scores from a server with vLLM's `/classify` or `/score`.
///
/// The options `endpoint`, `token_limit`, `extra_sampling`, `n_per_request` and `extra_body` of the
/// [`RemoteConfig`] concern generation and are not used. Each request has `batch` items. If a
/// server refuses a request of several items, for example because one is too long, each item is
/// sent alone. The other items thus get their scores.
///
/// # Examples
/// ```
/// use collimate_core::{Completion, Prompt, Scorer};
/// use collimate_remote::{RemoteConfig, RemoteScorer, ScoreConfig};
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/example.rs")); }
/// # let url = example::serve(r#"{"data": [{"index": 0, "probs": [2.5]}]}"#)?;
///
/// // `url` is the address of the server, such as "http://127.0.0.1:8000/v1".
/// let remote = RemoteConfig {
///     base_url: url,
///     model: "Skywork/Skywork-Reward-V2-Qwen3-0.6B".into(),
///     api_key_env: None,
///     ..RemoteConfig::default()
/// };
/// let options = ScoreConfig { use_activation: Some(false), ..ScoreConfig::default() };
/// let scorer = RemoteScorer::new(&remote, &options)?;
/// let scores = scorer.score(&[(Prompt::from("2+2?"), Completion::from("4"))])?;
/// assert_eq!(scores, [2.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RemoteScorer {
    config: ScoreConfig,
    model: String,
    concurrency: usize,
    asker: Asker,
    total: Mutex<RemoteStats>,
}

impl RemoteScorer {
    /// Makes a scorer with the key that `api_key_env` names. No request is sent yet.
    ///
    /// # Errors
    /// [`RemoteError::Option`] for an invalid option. [`RemoteError::Key`] if the variable has no
    /// valid key.
    pub fn new(remote: &RemoteConfig, config: &ScoreConfig) -> Result<Self, RemoteError> {
        remote.check()?;
        Self::with_key(remote, config, remote.key()?)
    }

    /// Makes a scorer with the given key, or without a key. `api_key_env` is not read.
    ///
    /// # Errors
    /// [`RemoteError::Option`] for an invalid option.
    pub fn with_key(
        remote: &RemoteConfig,
        config: &ScoreConfig,
        key: Option<ApiKey>,
    ) -> Result<Self, RemoteError> {
        remote.check()?;
        config.check()?;
        Ok(Self {
            config: config.clone(),
            model: remote.model.clone(),
            concurrency: remote.concurrency,
            asker: Asker::new(remote, config.url(remote), key),
            total: Mutex::default(),
        })
    }

    /// Returns the costs of all calls so far.
    pub fn stats(&self) -> RemoteStats {
        *self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes each score to `each` as soon as it arrives, with the index of its item and with
    /// batches in any order. A caller can thus save finished scores whatever happens to the rest.
    ///
    /// The error of one item does not stop the others. After `each` breaks, no request is sent, and
    /// none is repeated. Running requests are awaited, and their scores are passed to `each`.
    /// `each` runs on the caller's thread.
    ///
    /// # Errors
    /// [`ScoreError::Other`] if no thread can be started. Errors of items are passed to `each`.
    pub fn score_each(
        &self,
        items: &[(Prompt, Completion)],
        mut each: impl FnMut(usize, Result<f32, RemoteError>) -> ControlFlow<()>,
    ) -> Result<Outcome, ScoreError> {
        let call = Call::default();
        let size = self.config.batch.max(1);
        let work = |job: usize| {
            let start = job * size;
            let batch = items.get(start..items.len().min(start + size))?;
            Some((start, self.batch(&call, start, batch)))
        };
        let mut outcome = Outcome::default();
        let batches = items.len().div_ceil(size);
        let hand_out = |(start, scores): (usize, Vec<Scored>)| {
            let mut flow = ControlFlow::Continue(());
            for (offset, score) in scores.into_iter().enumerate() {
                match score {
                    Err(RemoteError::Stopped) => continue,
                    Ok(_) => outcome.finished += 1,
                    Err(_) => outcome.failed += 1,
                }
                if each(start + offset, score).is_break() {
                    flow = ControlFlow::Break(());
                }
            }
            flow
        };
        let run = pool::run(batches, self.concurrency, &call.stop, work, hand_out);
        outcome.stats = call.tally.stats();
        self.total
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(outcome.stats);
        outcome.stopped = run.map_err(|error| ScoreError::Other(error.to_string()))?;
        Ok(outcome)
    }

    /// Returns the scores of one batch of items, the first of which has index `start`.
    fn batch(&self, call: &Call, start: usize, items: &[Item]) -> Vec<Scored> {
        let mut scores: Vec<Scored> = items
            .iter()
            .map(|item| check_item(&self.config, item).map(|()| f32::NAN))
            .collect();
        let good: Vec<usize> = (0..items.len()).filter(|&at| scores[at].is_ok()).collect();
        for (&at, score) in good.iter().zip(self.ask(call, start, items, &good)) {
            scores[at] = score;
        }
        scores
    }

    /// Returns the scores of the items at `places`.
    fn ask(&self, call: &Call, start: usize, items: &[Item], places: &[usize]) -> Vec<Scored> {
        let chosen: Vec<&Item> = places.iter().filter_map(|&at| items.get(at)).collect();
        let (Some(&first), false) = (places.first(), chosen.is_empty()) else {
            return Vec::new();
        };
        let key = Key::new(0, "remote-scores")
            .with((start + first) as u64)
            .with(chosen.len() as u64);
        let body = request(&self.config, &self.model, &chosen);
        let count = chosen.len();
        match self
            .asker
            .ask(call, key, &body, |bytes| read(bytes, &self.config, count))
        {
            Ok(scores) => scores,
            Err(error) if error.is_refusal() && count > 1 => places
                .iter()
                .flat_map(|&at| self.ask(call, start, items, &[at]))
                .collect(),
            Err(error) => vec![Err(error); count],
        }
    }
}

impl Scorer for RemoteScorer {
    /// Returns one finite score per item, in order. An item that the server refuses gets the score
    /// of [`ScoreConfig::refused`]. The first item that finally fails ends the call. Use
    /// [`RemoteScorer::score_each`] to keep finished scores.
    ///
    /// # Errors
    /// The error of the failed item, with its index. Of several failures, the one with the lowest
    /// index is returned. If an item cannot be sent, no request is made.
    fn score(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f32>, ScoreError> {
        for (index, item) in items.iter().enumerate() {
            check_item(&self.config, item).map_err(|error| error.scoring(index))?;
        }
        let mut scores = vec![f32::NAN; items.len()];
        let mut failed: Option<(usize, RemoteError)> = None;
        self.score_each(items, |index, result| match result {
            Ok(score) => {
                if let Some(place) = scores.get_mut(index) {
                    *place = score;
                }
                ControlFlow::Continue(())
            }
            Err(error) if error.is_refusal() && self.config.refused.is_some() => {
                let score = self.config.refused.unwrap_or_default();
                tracing::warn!(item = index, score, %error, "an item was refused");
                if let Some(place) = scores.get_mut(index) {
                    *place = score;
                }
                ControlFlow::Continue(())
            }
            Err(error) => {
                if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                    failed = Some((index, error));
                }
                ControlFlow::Break(())
            }
        })?;
        match failed {
            Some((index, error)) => Err(error.scoring(index)),
            None => Ok(scores),
        }
    }
}
