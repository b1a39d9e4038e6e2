//! State that the stages of a run share.

use std::time::Instant;

use collimate_core::{Key, Purpose};
use collimate_data::{SftExample, TextTokenizer, TokenizeReport, TokenizedPair};
use collimate_files::atomic_write;
use collimate_irm::ImplicitReward;
use collimate_nn::CausalLm;
use collimate_run::{RunError, RunFolder, StageState, hash_file};
use collimate_train::{Interrupt, Progress, TrainConfig, hash_json, model_hash};
use rand::RngExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::config::SelfRewardingConfig;
use crate::answers::ResponseSampler;
use crate::sera::session::{Iterate, Session as Alignment};
use crate::sera::{Method, SeraConfig};
use crate::{RecipeError, SftPlan, fine_tune};

/// State that stays the same from stage to stage.
pub(super) struct Session<'a> {
    pub(super) config: &'a SelfRewardingConfig,
    pub(super) tokenizer: &'a TextTokenizer,
    pub(super) run: &'a mut RunFolder,
    pub(super) interrupt: &'a Interrupt,
    pub(super) progress: Progress,
    /// Tokens that end an answer, in addition to the tokenizer's EOS.
    pub(super) eos: &'a [u32],
}

/// The journal's entry for a file of rows.
#[derive(Serialize, Deserialize)]
struct Note {
    rows: usize,
    hash: String,
    seconds: f64,
}

impl<'a> Session<'a> {
    /// Returns the random key for one purpose of this run.
    pub(super) fn key(&self, stage: &str) -> Key {
        Key::new(self.config.seed, stage)
    }

    /// Returns the sampling seed of a stage.
    pub(super) fn sampling_seed(&self, stage: &str) -> u64 {
        self.key(stage).rng(Purpose::Sampling).random()
    }

    /// Returns the sampler of the run's answers.
    pub(super) fn sampler(&self) -> ResponseSampler<'a> {
        ResponseSampler {
            tokenizer: self.tokenizer,
            eos: self.eos,
            sampling: self.config.responses,
            max_length: self.config.max_length,
            interrupt: self.interrupt,
            progress: self.progress,
        }
    }

    /// Returns the rows of `folder/name.jsonl` and the seconds that computing them took. The rows
    /// are computed now, or read if an earlier start of this run has written them.
    pub(super) fn rows<T: Serialize + DeserializeOwned>(
        &mut self,
        folder: &str,
        name: &str,
        inputs: &impl Serialize,
        compute: impl FnOnce(&mut Self) -> Result<Vec<T>, RecipeError>,
    ) -> Result<(Vec<T>, f64), RecipeError> {
        let stage = format!("{folder}-{name}");
        let path = self.run.folder(folder)?.join(format!("{name}.jsonl"));
        let wrong = |reason: String| -> RecipeError {
            let path = path.clone();
            RunError::Format { path, reason }.into()
        };
        let advice = "restore the file as the run wrote it, or start in another run folder";
        let inputs = hash_json(&(inputs, self.config));
        let seconds = match self.run.stage(&stage, &inputs)? {
            StageState::Done(note) => {
                let note: Note = serde_json::from_value(note).map_err(|e| wrong(e.to_string()))?;
                let hash = hash_file(&path).map_err(|e| wrong(format!("{e}: {advice}")))?;
                if hash != note.hash {
                    return Err(wrong(format!("has changed since it was written: {advice}")));
                }
                note.seconds
            }
            _ => {
                let started = Instant::now();
                let rows = compute(self)?;
                let seconds = started.elapsed().as_secs_f64();
                let mut text = String::new();
                for row in &rows {
                    text += &serde_json::to_string(row).map_err(|e| wrong(e.to_string()))?;
                    text.push('\n');
                }
                atomic_write(&path, text.as_bytes())?;
                let (rows, hash) = (rows.len(), hash_file(&path)?);
                self.run.complete(
                    &stage,
                    &Note {
                        rows,
                        hash,
                        seconds,
                    },
                )?;
                seconds
            }
        };
        // Always read from the file: JSON may lose the last bit of a number.
        let text = std::fs::read_to_string(&path).map_err(|e| wrong(e.to_string()))?;
        let read = |(index, line): (usize, &str)| {
            let line = serde_json::from_str(line);
            line.map_err(|e| wrong(format!("line {}: {e}: {advice}", index + 1)))
        };
        let rows = text.lines().enumerate().map(read);
        Ok((rows.collect::<Result<_, _>>()?, seconds))
    }

    /// Fine-tunes a model; without examples, returns the model unchanged.
    pub(super) fn fine_tune<M: CausalLm>(
        &mut self,
        stage: &str,
        model: &M,
        examples: &[SftExample],
    ) -> Result<(Iterate<M>, Option<TokenizeReport>), RecipeError> {
        let started = Instant::now();
        let mut trained = Iterate {
            model: model.clone().valid(),
            offline: None,
            steps: 0,
            seconds: 0.0,
        };
        if examples.is_empty() {
            return Ok((trained, None));
        }
        let config = self.config;
        let train = TrainConfig {
            stage: stage.to_owned(),
            seed: config.seed,
            ..config.sft.clone()
        };
        let inputs = hash_json(&(&train, config, hash_json(&examples), model_hash(model)));
        self.run.stage(stage, &inputs)?;
        let plan = SftPlan {
            tokenizer: self.tokenizer,
            max_length: config.max_length,
            truncation: config.truncation,
            train: &train,
        };
        let context = self
            .run
            .context(self.interrupt)
            .with_progress(self.progress);
        let (model, outcome) = fine_tune(model.clone(), examples, &[], &plan, &context)?;
        trained.model = model.valid();
        trained.steps = outcome.steps;
        trained.seconds = started.elapsed().as_secs_f64();
        Ok((trained, Some(outcome.tokenize)))
    }

    /// Returns the options of preference training, which SeRA's session runs.
    fn alignment(&self) -> SeraConfig {
        SeraConfig {
            seed: self.config.seed,
            loss: self.config.loss,
            nll_anchor: self.config.nll_anchor,
            adaptation: self.config.adaptation.clone(),
            train: self.config.train.clone(),
            max_length: self.config.max_length,
            truncation: self.config.truncation,
            ..SeraConfig::default()
        }
    }

    /// Returns the implicit reward that belongs to the loss.
    pub(super) fn implicit_reward(&self) -> ImplicitReward {
        self.alignment().implicit_reward(Method::Sera)
    }

    /// Trains a model on pairs; the untrained model is the reference.
    pub(super) fn align<M: CausalLm>(
        &mut self,
        stage: &str,
        model: &M,
        pairs: Vec<TokenizedPair>,
        steps: u64,
    ) -> Result<Iterate<M>, RecipeError> {
        let config = self.alignment();
        let mut alignment = Alignment {
            config: &config,
            tokenizer: self.tokenizer,
            run: self.run,
            interrupt: self.interrupt,
            progress: self.progress,
            train: Vec::new(),
            validation: Vec::new(),
            start: model,
            eos: self.eos,
            texts: String::new(),
            gaps: None,
            start_samples: None,
        };
        let mut trained = alignment.train(stage, model, model, pairs, steps)?;
        trained.model = trained.model.valid();
        Ok(trained)
    }
}
