//! Completions from a server.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use collimate_core::{Answers, Completion, GenerateError, Generator, Prompt, Sampling};

use crate::answer::read;
use crate::body::{check_prompt, completions, place, request_seed};
use crate::pool;
use crate::retry::{Asker, Call};
use crate::{ApiKey, Endpoint, Outcome, RemoteConfig, RemoteError, RemoteStats};

/// Completions from an OpenAI-compatible server.
///
/// Each prompt is one job, and at most `concurrency` jobs run at once. If a server returns fewer
/// completions than requested, the rest is requested with another seed until there are `n`.
///
/// [`Sampling`] is sent as `n`, `temperature`, `top_p`, `max_tokens`, `stop` and `seed`. Only some
/// servers support `top_k` and `repetition_penalty`, which are sent according to
/// [`ExtraSampling`](crate::ExtraSampling). The seed of a request has 31 bits. It depends on
/// [`Sampling::seed`], the index of the prompt in the call, and the number of the request for that
/// prompt, so prompts get independent seeds. The server decides whether the same seed gives the
/// same text again.
///
/// [`Finish::Stop`](collimate_core::Finish::Stop) differs from the end-of-sequence token if the
/// server names the stop text, as vLLM's `stop_reason` does. With other servers, an answer that
/// ended by itself counts as stopped if stop texts were requested. A stop text that the server
/// leaves in is removed, together with everything after it.
///
/// # Examples
/// ```
/// use collimate_core::{Generator, Prompt, Sampling};
/// use collimate_remote::{RemoteConfig, RemoteGenerator};
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/example.rs")); }
/// # let url = example::serve(r#"{"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "4"}}]}"#)?;
///
/// // `url` is the address of the server, such as "http://127.0.0.1:8000/v1".
/// let generator = RemoteGenerator::new(&RemoteConfig {
///     base_url: url,
///     model: "Qwen/Qwen2.5-0.5B-Instruct".into(),
///     api_key_env: None,
///     ..RemoteConfig::default()
/// })?;
/// let answers = generator.generate(&[Prompt::from("2+2?")], &Sampling::default())?;
/// assert_eq!(answers[0][0].text, "4");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RemoteGenerator {
    config: RemoteConfig,
    asker: Asker,
    total: Mutex<RemoteStats>,
}

impl RemoteGenerator {
    /// Makes a generator with the key that `api_key_env` names. No request is sent yet.
    ///
    /// # Errors
    /// [`RemoteError::Option`] for an invalid option. [`RemoteError::Key`] if the variable has no
    /// valid key.
    pub fn new(config: &RemoteConfig) -> Result<Self, RemoteError> {
        config.check()?;
        Self::with_key(config, config.key()?)
    }

    /// Makes a generator with the given key, or without a key. `api_key_env` is not read.
    ///
    /// # Errors
    /// [`RemoteError::Option`] for an invalid option.
    pub fn with_key(config: &RemoteConfig, key: Option<ApiKey>) -> Result<Self, RemoteError> {
        config.check()?;
        let path = match config.endpoint {
            Endpoint::ChatCompletions => "chat/completions",
            Endpoint::Completions => "completions",
        };
        let url = format!("{}/{path}", config.base());
        Ok(Self {
            asker: Asker::new(config, url, key),
            config: config.clone(),
            total: Mutex::default(),
        })
    }

    /// Returns the costs of all calls so far.
    pub fn stats(&self) -> RemoteStats {
        *self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes the completions of each prompt to `each` as soon as they arrive, in any order, with
    /// the index of the prompt. A caller can thus save finished answers whatever happens to the
    /// rest.
    ///
    /// The error of one prompt does not stop the others. After `each` breaks, no request is sent,
    /// and none is repeated. Running requests are awaited, and their answers are passed to `each`.
    /// `each` runs on the caller's thread.
    ///
    /// # Errors
    /// [`GenerateError::Option`] for invalid sampling options. [`GenerateError::Other`] if no
    /// thread can be started. Errors of prompts are passed to `each`.
    pub fn generate_each(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
        mut each: impl FnMut(usize, Result<Vec<Completion>, RemoteError>) -> ControlFlow<()>,
    ) -> Result<Outcome, GenerateError> {
        self.run(prompts, sampling, |index, done| match done.failed {
            Some(RemoteError::Stopped) => ControlFlow::Continue(()),
            failed => each(index, failed.map_or(Ok(done.completions), Err)),
        })
    }

    /// Runs like [`generate_each`](Self::generate_each), and also passes on the completions that
    /// arrived before an error of their prompt.
    fn run(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
        mut each: impl FnMut(usize, Done) -> ControlFlow<()>,
    ) -> Result<Outcome, GenerateError> {
        sampling.check()?;
        let call = Call::default();
        let work = |index: usize| {
            let prompt = prompts.get(index)?;
            let done = self.complete(&call, index, prompt, sampling);
            let nothing = done.completions.is_empty();
            match &done.failed {
                Some(RemoteError::Stopped) if nothing => None,
                _ => Some((index, done)),
            }
        };
        let mut outcome = Outcome::default();
        let run = pool::run(
            prompts.len(),
            self.config.concurrency,
            &call.stop,
            work,
            |(index, done)| {
                match &done.failed {
                    None => outcome.finished += 1,
                    Some(RemoteError::Stopped) => {}
                    Some(_) => outcome.failed += 1,
                }
                each(index, done)
            },
        );
        outcome.stats = call.tally.stats();
        self.total
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(outcome.stats);
        outcome.stopped = run.map_err(|error| GenerateError::Other(error.to_string()))?;
        Ok(outcome)
    }

    /// Requests all `n` completions of one prompt, in at most `n` requests, since each request
    /// gives at least one.
    fn complete(&self, call: &Call, index: usize, prompt: &Prompt, sampling: &Sampling) -> Done {
        let mut done = Done::default();
        done.failed = self
            .fill(call, index, prompt, sampling, &mut done.completions)
            .err();
        done
    }

    fn fill(
        &self,
        call: &Call,
        index: usize,
        prompt: &Prompt,
        sampling: &Sampling,
        done: &mut Vec<Completion>,
    ) -> Result<(), RemoteError> {
        check_prompt(&self.config, prompt)?;
        for round in 0.. {
            let left = sampling.n.saturating_sub(done.len());
            if left == 0 {
                break;
            }
            let n = left.min(self.config.n_per_request.unwrap_or(left));
            let place = place(sampling.seed, index, round);
            let body = completions(&self.config, prompt, sampling, n, request_seed(place));
            let read = |bytes: &[u8]| read(bytes, n, &sampling.stop);
            done.extend(self.asker.ask(call, place, &body, read)?);
        }
        Ok(())
    }

    fn check_all(&self, prompts: &[Prompt]) -> Result<(), GenerateError> {
        for (index, prompt) in prompts.iter().enumerate() {
            check_prompt(&self.config, prompt).map_err(|error| error.generation(index))?;
        }
        Ok(())
    }
}

/// The result of one prompt.
#[derive(Debug, Default)]
struct Done {
    completions: Vec<Completion>,
    failed: Option<RemoteError>,
}

impl Generator for RemoteGenerator {
    /// Returns `sampling.n` completions for each prompt, in order. The first prompt that finally
    /// fails ends the call. Use [`RemoteGenerator::generate_each`] to keep finished answers.
    ///
    /// # Errors
    /// [`GenerateError::Prompt`] with the index of a prompt that cannot be sent or that failed. If
    /// a prompt cannot be sent, no request is made. Of several failures, the one with the lowest
    /// index is returned.
    fn generate(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Completion>>, GenerateError> {
        self.check_all(prompts)?;
        let mut answers = vec![Vec::new(); prompts.len()];
        let mut failed: Option<(usize, RemoteError)> = None;
        self.generate_each(prompts, sampling, |index, result| match result {
            Ok(completions) => {
                if let Some(answer) = answers.get_mut(index) {
                    *answer = completions;
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
            Some((index, error)) => Err(error.generation(index)),
            None => Ok(answers),
        }
    }

    /// Passes on answers as soon as they arrive, including a part of the completions of a prompt.
    ///
    /// A prompt that the server refuses ([`RemoteError::is_refusal`]) stops no other prompt. An
    /// error that concerns every prompt ends the call once the running requests have finished.
    ///
    /// # Errors
    /// As [`RemoteGenerator::generate`](Generator::generate), except refusals.
    fn hand_out(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
        take: &mut dyn FnMut(usize, Answers),
    ) -> Result<(), GenerateError> {
        self.check_all(prompts)?;
        let mut failed: Option<(usize, RemoteError)> = None;
        self.run(prompts, sampling, |index, done| {
            let (refused, error) = match done.failed {
                Some(error) if error.is_refusal() => (Some(error.to_string()), None),
                other => (None, other),
            };
            if refused.is_some() || !done.completions.is_empty() {
                let completions = done.completions;
                take(
                    index,
                    Answers {
                        completions,
                        refused,
                    },
                );
            }
            match error {
                None => ControlFlow::Continue(()),
                Some(RemoteError::Stopped) => ControlFlow::Break(()),
                Some(error) => {
                    if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                        failed = Some((index, error));
                    }
                    ControlFlow::Break(())
                }
            }
        })?;
        match failed {
            Some((index, error)) => Err(error.generation(index)),
            None => Ok(()),
        }
    }
}
