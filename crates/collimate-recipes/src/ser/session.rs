//! State that the stages of a run share: tokenizer, options, run folder.

use std::time::Instant;

use collimate_core::{Key, PreferencePair};
use collimate_data::{AnswerEnd, TextTokenizer, TokenizedPair};
use collimate_eval::{Accuracy, RewardGap, pairwise_accuracy, reward_gap};
use collimate_files::FileError;
use collimate_nn::HfReward;
use collimate_reward::{RewardModel, RewardObjective};
use collimate_run::{RunError, RunFolder, StageState};
use collimate_train::{Interrupt, Progress, TrainConfig, fit, hash_json};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::config::SerConfig;
use super::noise::NoiseTokens;
use crate::RecipeError;
use crate::lengths::{check_equal, differ};
use crate::sft::EVALUATION_TOKENS;

/// A trained stage.
pub(crate) struct Stage<B: HfReward> {
    pub(crate) model: RewardModel<B>,
    pub(crate) steps: u64,
    pub(crate) validation: Option<Accuracy>,
    pub(crate) gap: Option<RewardGap>,
    pub(crate) seconds: f64,
}

/// Length of a stage of training.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    /// As the options say, with early stopping.
    Configured,
    /// This many passes over the pairs, but at most `max_steps` steps.
    Epochs(f64),
    /// This many optimiser steps.
    Steps(u64),
}

/// Pairs, labels, noise and length of a stage of training.
pub(crate) struct Lesson {
    pub(crate) pairs: Vec<TokenizedPair>,
    /// Probabilities that the chosen answers are the better ones; `None` means 1 for all pairs.
    pub(crate) targets: Option<Vec<f32>>,
    /// Share of the tokens that are replaced.
    pub(crate) noise: f64,
    pub(crate) length: Length,
}

impl Lesson {
    /// Returns a lesson with hard labels and without noise.
    pub(crate) fn plain(pairs: Vec<TokenizedPair>, length: Length) -> Self {
        Self {
            pairs,
            targets: None,
            noise: 0.0,
            length,
        }
    }
}

/// State that stays the same from stage to stage.
pub(crate) struct Session<'a> {
    pub(crate) config: &'a SerConfig,
    pub(crate) tokenizer: &'a TextTokenizer,
    pub(crate) run: &'a mut RunFolder,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) progress: Progress,
    pub(crate) validation: Vec<TokenizedPair>,
    /// Labelled pairs whose answers give the score centre.
    pub(crate) seed: Vec<TokenizedPair>,
    /// Tokens for noise; absent if no stage uses noise.
    pub(crate) noise: Option<NoiseTokens>,
    /// Fingerprint of the run's start model.
    pub(crate) start: String,
}

/// Returns the tokenizer of a run. A reward model reads the score at EOS, so a cut answer also ends
/// with EOS.
pub(crate) fn for_scores(tokenizer: &TextTokenizer, config: &SerConfig) -> TextTokenizer {
    tokenizer
        .clone()
        .with_answer_end(AnswerEnd::EveryAnswer)
        .with_max_prompt_length(config.max_prompt_length)
}

impl Session<'_> {
    /// Returns the labelled pairs of `part` whose answers differ as tokens, and their token ids.
    /// The other pairs teach nothing.
    pub(crate) fn encode_different(
        &self,
        part: &'static str,
        pairs: &[PreferencePair],
    ) -> Result<(Vec<PreferencePair>, Vec<TokenizedPair>), RecipeError> {
        let config = self.config;
        let (encoded, report) =
            self.tokenizer
                .encode_pairs(pairs, config.max_length, config.truncation)?;
        check_equal(part, &report, config.max_length)?;
        let all = pairs.iter().cloned().zip(encoded);
        Ok(all.filter(|(_, ids)| differ(ids)).unzip())
    }

    /// Returns the token ids of pairs.
    pub(crate) fn encode(
        &self,
        pairs: &[PreferencePair],
    ) -> Result<Vec<TokenizedPair>, RecipeError> {
        let config = self.config;
        let (encoded, _) =
            self.tokenizer
                .encode_pairs(pairs, config.max_length, config.truncation)?;
        Ok(encoded)
    }

    /// Returns the random key for one purpose of this run.
    pub(crate) fn key(&self, stage: &str) -> Key {
        Key::new(self.config.seed, stage)
    }

    /// Trains `start` on a lesson, or continues where an earlier start of this run stopped.
    /// Evaluates the trained model on the validation part.
    pub(crate) fn train<B: HfReward>(
        &mut self,
        stage: &str,
        start: &RewardModel<B>,
        lesson: Lesson,
    ) -> Result<Stage<B>, RecipeError> {
        let started = Instant::now();
        let model = (self.config.adaptation).begin_reward(start, self.key(stage))?;
        let configured = matches!(lesson.length, Length::Configured);
        let train = TrainConfig {
            stage: stage.to_owned(),
            seed: self.config.seed,
            max_steps: match lesson.length {
                Length::Configured | Length::Epochs(_) => self.config.train.max_steps,
                Length::Steps(steps) => Some(steps),
            },
            epochs: match lesson.length {
                Length::Epochs(epochs) => epochs,
                Length::Configured | Length::Steps(_) => self.config.train.epochs,
            },
            // A stage with a given number of steps or epochs completes all of them.
            keep_best: self.config.train.keep_best && configured,
            patience: self.config.train.patience.filter(|_| configured),
            ..self.config.train.clone()
        };
        let held_out = match train.eval_every {
            Some(_) => self.validation.clone(),
            None => Vec::new(),
        };
        let noise = match &self.noise {
            Some(tokens) => tokens.noise(lesson.noise)?,
            None => None,
        };
        let learnt = (&lesson.pairs, &lesson.targets, &noise);
        let inputs = hash_json(&(&train, self.config, learnt, &self.start));
        self.run.stage(stage, &inputs)?;
        let loss = self.config.loss;
        let mut objective = RewardObjective::new(lesson.pairs, held_out, loss, EVALUATION_TOKENS)?;
        if let Some(targets) = lesson.targets {
            objective = objective.with_targets(targets)?;
        }
        if let Some(noise) = noise {
            objective = objective.with_noise(noise);
        }
        let context = self
            .run
            .context(self.interrupt)
            .with_progress(self.progress);
        let fitted = fit(model, &objective, &train, &context)?;
        let trained = fitted.seconds;
        let steps = fitted.best.as_ref().map_or(fitted.steps, |best| best.step);
        let model = fitted.into_best().settled();
        let started_evaluation = Instant::now();
        let (validation, gap) = self.validate(&model, stage)?;
        let before = started.elapsed().as_secs_f64() - started_evaluation.elapsed().as_secs_f64();
        Ok(Stage {
            model,
            steps,
            validation,
            gap,
            // A resumed stage counts the seconds of its earlier starts.
            seconds: trained.max(before) + started_evaluation.elapsed().as_secs_f64(),
        })
    }

    /// Returns the number of steps of a student on this many pairs: as many as the options ask for,
    /// and at least as many as Loop 0.
    pub(crate) fn student_steps(&self, pairs: usize, zero: u64) -> Length {
        Length::Steps(self.config.train.total_steps(pairs).max(zero))
    }

    /// Trains like [`train`](Self::train), without evaluation on the validation part.
    pub(crate) fn train_unwatched<B: HfReward>(
        &mut self,
        stage: &str,
        start: &RewardModel<B>,
        lesson: Lesson,
    ) -> Result<Stage<B>, RecipeError> {
        let validation = std::mem::take(&mut self.validation);
        let trained = self.train(stage, start, lesson);
        self.validation = validation;
        trained
    }

    /// Removes the checkpoints of a stage whose model is no longer needed.
    pub(crate) fn forget(&self, stage: &str) -> Result<(), RecipeError> {
        let folder = self.run.checkpoints().join(stage);
        if !folder.exists() {
            return Ok(());
        }
        std::fs::remove_dir_all(&folder).map_err(|source| {
            FileError {
                path: folder,
                source,
            }
            .into()
        })
    }

    /// Returns accuracy and reward gaps of a model on the validation part, if there is one. The
    /// gaps are measured at this model's own score centre.
    pub(crate) fn validate<B: HfReward>(
        &self,
        model: &RewardModel<B>,
        stage: &str,
    ) -> Result<(Option<Accuracy>, Option<RewardGap>), RecipeError> {
        if self.validation.is_empty() {
            return Ok((None, None));
        }
        let scores = self.scores(model, &self.validation, stage, "validation")?;
        let centre = self.score_centre(model, &self.seed, stage)?;
        Ok((
            Some(pairwise_accuracy(&scores)?),
            Some(reward_gap(&scores, centre)?),
        ))
    }

    /// Returns the result of a stage without training, from the journal or computed now. In both
    /// cases the result has passed through JSON, which may lose the last bit of a number.
    pub(crate) fn cached<T: Serialize + DeserializeOwned>(
        &mut self,
        stage: &str,
        inputs: &impl Serialize,
        compute: impl FnOnce(&mut Self) -> Result<T, RecipeError>,
    ) -> Result<T, RecipeError> {
        let journal = self.run.path().join("journal.json");
        let wrong = |error: serde_json::Error| -> RecipeError {
            let reason = format!("stage {stage}: {error}: start in another run folder");
            let path = journal.clone();
            RunError::Format { path, reason }.into()
        };
        if let StageState::Done(value) = self.run.stage(stage, &hash_json(inputs))? {
            return serde_json::from_value(value).map_err(wrong);
        }
        let result = compute(self)?;
        self.run.complete(stage, &result)?;
        let text = serde_json::to_string(&result).map_err(wrong)?;
        serde_json::from_str(&text).map_err(wrong)
    }
}
