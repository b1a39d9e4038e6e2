//! Writes a rollout: responses, scores, log-probabilities, values.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use burn::module::Module;
use collimate_core::{Completion, GenerateError, Key, Prompt, Purpose};
use collimate_files::atomic_write;
use collimate_lm::{GenerationProgress, TextGenerator, Watch};
use collimate_nn::CausalLm;
use collimate_train::{Interrupt, TrainError, epoch_order};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::actor_critic::{host, policy_logps};
use crate::config::PpoConfig;
use crate::outcome::WatchedAnswer;
use crate::rollout::{Response, Rollout, batch, by_response, cut};
use crate::task::PpoTask;
use crate::{ActorCritic, PpoError};

/// Number of responses between two saves of a half-written rollout.
const CHUNK: usize = 64;

/// Writes rollouts with the current policy.
pub(crate) struct Writer<'a, M: CausalLm> {
    pub(crate) task: &'a PpoTask<'a, M>,
    pub(crate) prompts: &'a [Vec<u32>],
    pub(crate) config: &'a PpoConfig,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) key: Key,
    /// File that holds the responses of a half-written rollout.
    pub(crate) note: Option<PathBuf>,
    /// Hash of everything that the responses depend on, except the number of steps done.
    pub(crate) identity: String,
}

/// A half-written rollout. A stopped run continues after its last complete chunk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RolloutDraft {
    identity: String,
    rollout: u64,
    responses: Vec<Response>,
}

struct Stop<'a, F> {
    interrupt: &'a Interrupt,
    on_progress: F,
}

impl<F: FnMut(GenerationProgress) + Send> Watch for Stop<'_, F> {
    fn progress(&mut self, now: GenerationProgress) -> ControlFlow<()> {
        (self.on_progress)(now);
        match self.interrupt.is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Turns the index of a chunk's prompt in an error into the index among all prompts.
fn of_prompt(error: GenerateError, drawn: &[usize]) -> GenerateError {
    let place = |index: usize| drawn.get(index).copied().unwrap_or(index);
    match error {
        GenerateError::Prompt { index, message } => GenerateError::Prompt {
            index: place(index),
            message,
        },
        GenerateError::PromptTooLong {
            index,
            tokens,
            context,
        } => GenerateError::PromptTooLong {
            index: place(index),
            tokens,
            context,
        },
        GenerateError::NotFinite { index, tokens } => GenerateError::NotFinite {
            index: place(index),
            tokens,
        },
        error => error,
    }
}

impl<M: CausalLm> Writer<'_, M> {
    /// Draws the prompts of a rollout. Each pass over all prompts has its own order.
    fn drawn(&self, rollout: u64) -> Vec<usize> {
        let n = self.prompts.len() as u64;
        let wanted = self.config.prompts_per_rollout() as u64;
        let mut order: Option<(u64, Vec<usize>)> = None;
        (rollout * wanted..(rollout + 1) * wanted)
            .map(|cursor| {
                let (epoch, place) = (cursor / n, (cursor % n) as usize);
                if order.as_ref().is_none_or(|(of, _)| *of != epoch) {
                    order = Some((epoch, epoch_order(self.key, epoch, n as usize)));
                }
                order.as_ref().map_or(0, |(_, order)| order[place])
            })
            .collect()
    }

    fn failed(&self, rollout: u64, source: GenerateError) -> PpoError {
        match source {
            GenerateError::Interrupted => TrainError::Interrupted {
                stage: self.config.stage.clone(),
                step: rollout,
                saved: None,
            }
            .into(),
            source => PpoError::Generate {
                rollout: rollout + 1,
                source,
            },
        }
    }

    fn generator(&self, policy: &M) -> TextGenerator<M> {
        let own = self.task.tokenizer.end_tokens().iter();
        let ends = own.chain(&self.task.eos).copied();
        TextGenerator::new(policy.clone(), self.task.tokenizer.clone()).with_eos(ends.collect())
    }

    fn noted(&self, rollout: u64) -> Vec<Response> {
        let text = self.note.as_ref().and_then(|path| fs::read(path).ok());
        let note: Option<RolloutDraft> = text.and_then(|text| serde_json::from_slice(&text).ok());
        let fits = |note: &RolloutDraft| note.identity == self.identity && note.rollout == rollout;
        note.filter(fits)
            .map(|note| note.responses)
            .unwrap_or_default()
    }

    fn take_note(&self, rollout: u64, responses: &[Response]) -> Result<(), PpoError> {
        if let Some(path) = &self.note {
            let note = RolloutDraft {
                identity: self.identity.clone(),
                rollout,
                responses: responses.to_vec(),
            };
            let text = serde_json::to_vec(&note).map_err(TrainError::objective)?;
            atomic_write(path, &text)?;
        }
        Ok(())
    }

    /// Writes and scores responses; `on_progress` is called with the number of finished responses.
    pub(crate) fn responses(
        &self,
        rollout: u64,
        policy: &M,
        mut on_progress: impl FnMut(usize) + Send,
    ) -> Result<Vec<Response>, PpoError> {
        let drawn = self.drawn(rollout);
        let k = self.config.samples_per_prompt;
        let per_chunk = (CHUNK / k).max(1);
        let mut responses = self.noted(rollout);
        let generator = self.generator(policy);
        let done = responses.len() / k;
        for (chunk, groups) in drawn
            .chunks(per_chunk)
            .enumerate()
            .skip(done.div_ceil(per_chunk))
        {
            let ids: Vec<Vec<u32>> = groups.iter().map(|&i| self.prompts[i].clone()).collect();
            let key = self.key.step(rollout).with(chunk as u64);
            let sampling = self.config.sampling(key.rng(Purpose::Sampling).random());
            let before = responses.len();
            let mut watch = Stop {
                interrupt: self.interrupt,
                on_progress: |now: GenerationProgress| on_progress(before + now.finished),
            };
            let written = generator
                .continue_ids(&ids, &sampling, &mut watch)
                .map_err(|error| self.failed(rollout, of_prompt(error, groups)))?;
            let mut items: Vec<(Prompt, Completion)> = Vec::new();
            for (&prompt, completions) in groups.iter().zip(&written) {
                let prompt = &self.task.prompts[prompt];
                items.extend(completions.iter().map(|c| (prompt.clone(), c.clone())));
            }
            let scores = self.task.score(rollout + 1, before, &items)?;
            let places = groups.iter().enumerate().flat_map(|(group, &prompt)| {
                std::iter::repeat_n((chunk * per_chunk + group, prompt), k)
            });
            let parts = items.into_iter().zip(scores).zip(places);
            responses.extend(
                parts.map(|(((_, completion), score), (group, prompt))| Response {
                    prompt,
                    group,
                    completion,
                    score,
                }),
            );
            if drawn.len() > per_chunk {
                self.take_note(rollout, &responses)?;
            }
        }
        if responses.iter().all(Response::is_empty) {
            return Err(PpoError::AllEmpty {
                rollout: rollout + 1,
            });
        }
        Ok(responses)
    }

    /// Computes log-probabilities and values of the responses, in the micro-batches of the first
    /// pass. The ratio is therefore exactly 1 in the first pass.
    pub(crate) fn measure(
        &self,
        rollout: u64,
        model: &ActorCritic<M>,
        responses: Vec<Response>,
        mini_batches: &[Vec<usize>],
    ) -> Result<Rollout, PpoError> {
        let model = model.valid();
        let empty = || vec![Vec::new(); responses.len()];
        let (mut old, mut reference, mut values) = (empty(), empty(), empty());
        let temperature = self.config.temperature;
        let (frozen, adapters) = self.task.reference.of(&model.policy);
        for mini_batch in mini_batches {
            for micro_batch in cut(mini_batch, &responses, self.prompts, self.config) {
                if self.interrupt.is_set() {
                    return Err(self.failed(rollout, GenerateError::Interrupted));
                }
                let wrong = |source| PpoError::Pack {
                    rollout: rollout + 1,
                    source,
                };
                let packed = batch(&micro_batch, &responses, self.prompts, &model.policy);
                let packed = packed.map_err(wrong)?;
                let scatter_rows = |tensor, into: &mut Vec<Vec<f32>>| {
                    by_response(host(tensor), &micro_batch, &responses, into);
                };
                let outputs = model.outputs(&packed, temperature, false);
                scatter_rows(outputs.logps, &mut old);
                if let Some(found) = outputs.values {
                    scatter_rows(found, &mut values);
                }
                scatter_rows(
                    policy_logps(frozen, &packed, temperature, adapters),
                    &mut reference,
                );
            }
        }
        if model.critic.is_none() && model.value_head.is_none() {
            values.clear();
        }
        for (what, rows) in [
            ("the policy's log-probabilities", &old),
            ("the reference's log-probabilities", &reference),
            ("the critic's values", &values),
        ] {
            let bad = |row: &Vec<f32>| row.iter().any(|value| !value.is_finite());
            if let Some(response) = rows.iter().position(bad) {
                return Err(PpoError::NotFinite {
                    rollout: rollout + 1,
                    what,
                    response,
                });
            }
        }
        Ok(Rollout {
            responses,
            old_logps: old,
            reference_logps: reference,
            values,
        })
    }

    /// Writes and scores answers to the watched prompts.
    pub(crate) fn watched(
        &self,
        rollout: u64,
        policy: &M,
        watched: &[Vec<u32>],
    ) -> Result<Vec<WatchedAnswer>, PpoError> {
        let key = self.key.with(0x7761_7463);
        let sampling = collimate_core::Sampling {
            n: 1,
            ..self.config.sampling(key.rng(Purpose::Sampling).random())
        };
        let mut watch = Stop {
            interrupt: self.interrupt,
            on_progress: |_| {},
        };
        let written = self
            .generator(policy)
            .continue_ids(watched, &sampling, &mut watch)
            .map_err(|error| self.failed(rollout, error))?;
        let items: Vec<(Prompt, Completion)> = self
            .task
            .watched
            .iter()
            .zip(written)
            .flat_map(|(prompt, answers)| answers.into_iter().map(|a| (prompt.clone(), a)))
            .collect();
        let scores = self.task.score(rollout + 1, 0, &items)?;
        let answers = items.into_iter().zip(scores);
        Ok(answers
            .map(|((prompt, completion), score)| WatchedAnswer {
                rollout,
                prompt: prompt.to_plain(),
                answer: completion.text,
                score,
            })
            .collect())
    }
}
