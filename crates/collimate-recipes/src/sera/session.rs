//! State that the stages of a run share.

use std::time::Instant;

use collimate_core::{Key, Purpose};
use collimate_data::{RowSource, TextTokenizer, TokenizedPair};
use collimate_direct::{
    DirectObjective, PairLogp, Reference, UnpairedExample, UnpairedObjective, pairs_hash,
};
use collimate_losses::Anchored;
use collimate_nn::CausalLm;
use collimate_run::RunFolder;
use collimate_train::{Interrupt, Objective, Progress, TrainConfig, hash_json, model_hash};
use rand::RngExt;

use super::config::{SeraConfig, Updates};
use super::start::StartSamples;
use crate::answers::ResponseSampler;
use crate::policy_training::PolicyTraining;
use crate::sft::EVALUATION_TOKENS;
use crate::{Adaptation, RecipeError};

/// A trained policy and its log-probabilities of the offline pairs.
#[derive(Debug, Clone)]
pub(crate) struct Iterate<M> {
    pub(crate) model: M,
    /// Log-probabilities of the training pairs; computed on first use.
    pub(crate) offline: Option<Vec<PairLogp>>,
    pub(crate) steps: u64,
    pub(crate) seconds: f64,
}

/// Options that differ from training to training.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Weight of the likelihood term.
    pub(crate) alpha: f64,
    pub(crate) seed: u64,
}

/// State that stays the same from stage to stage.
pub(crate) struct Session<'a, M> {
    pub(crate) config: &'a SeraConfig,
    pub(crate) tokenizer: &'a TextTokenizer,
    pub(crate) run: &'a mut RunFolder,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) progress: Progress,
    pub(crate) train: Vec<TokenizedPair>,
    pub(crate) validation: Vec<TokenizedPair>,
    /// The start model.
    pub(crate) start: &'a M,
    /// Tokens that end an answer, in addition to the tokenizer's EOS.
    pub(crate) eos: &'a [u32],
    /// Hash of the training pairs as texts, and of the known label swaps.
    pub(crate) texts: String,
    /// Score of each training pair's chosen answer minus that of the rejected one, from the judge
    /// or from the data file.
    pub(crate) gaps: Option<Vec<f64>>,
    /// Likelihoods of the start model's own samples; absent until a review needs them.
    pub(crate) start_samples: Option<StartSamples>,
}

impl<M: CausalLm> Session<'_, M> {
    /// Returns the random key for one purpose of this run.
    pub(crate) fn key(&self, stage: &str) -> Key {
        Key::new(self.config.seed, stage)
    }

    /// Returns the number of optimiser steps of an iteration over this many pairs.
    pub(crate) fn steps(&self, pairs: usize) -> u64 {
        let pairs = match self.config.updates {
            Updates::Equal => self.train.len(),
            Updates::OwnPairs => pairs,
        };
        self.config.train.total_steps(pairs)
    }

    /// Returns the sampler of the run's answers.
    pub(crate) fn sampler(&self) -> ResponseSampler<'_> {
        ResponseSampler {
            tokenizer: self.tokenizer,
            eos: self.eos,
            sampling: self.config.responses,
            max_length: self.config.max_length,
            interrupt: self.interrupt,
            progress: self.progress,
        }
    }

    /// Returns an interrupt error if a stop was requested. For passes that write no checkpoint.
    pub(crate) fn check_interrupt(&self, stage: &str) -> Result<(), RecipeError> {
        self.sampler().check_interrupt(stage)
    }

    /// Returns the seed of second policies.
    pub(crate) fn second_seed(&self) -> u64 {
        self.key("second policy").rng(Purpose::Order).random()
    }

    /// Returns the training of a policy of this run with a seed.
    fn training(&self, seed: u64) -> PolicyTraining<'_> {
        PolicyTraining {
            seed,
            adaptation: &self.config.adaptation,
            run: self.run,
            interrupt: self.interrupt,
            progress: self.progress,
        }
    }

    /// Computes the log-probabilities of pairs under a model, with a progress bar.
    pub(crate) fn logps(
        &self,
        label: &str,
        model: &M,
        pairs: &[TokenizedPair],
    ) -> Result<Vec<PairLogp>, RecipeError> {
        self.training(self.config.seed).logps(label, model, pairs)
    }

    /// Returns the log-probabilities of an iterate on the offline pairs, computed once.
    pub(crate) fn offline<'i>(
        &self,
        label: &str,
        iterate: &'i mut Iterate<M>,
    ) -> Result<&'i [PairLogp], RecipeError> {
        if iterate.offline.is_none() {
            iterate.offline = Some(self.logps(label, &iterate.model, &self.train)?);
        }
        Ok(iterate.offline.as_deref().unwrap_or_default())
    }

    /// Trains `policy` on `pairs` for `steps` optimiser steps, or continues where an earlier start
    /// of this run stopped.
    pub(crate) fn train(
        &mut self,
        stage: &str,
        policy: &M,
        reference: &M,
        pairs: Vec<TokenizedPair>,
        steps: u64,
    ) -> Result<Iterate<M>, RecipeError> {
        let how = How {
            alpha: self.config.nll_anchor,
            seed: self.config.seed,
        };
        self.train_as(how, stage, policy, reference, pairs, steps)
    }

    /// Same as [`Self::train`], with another seed or another weight of the likelihood term.
    pub(crate) fn train_as(
        &mut self,
        How { alpha, seed }: How,
        stage: &str,
        policy: &M,
        reference: &M,
        pairs: Vec<TokenizedPair>,
        steps: u64,
    ) -> Result<Iterate<M>, RecipeError> {
        let started = Instant::now();
        let train = TrainConfig {
            stage: stage.to_owned(),
            seed,
            max_steps: Some(steps),
            ..self.config.train.clone()
        };
        let hashes = (model_hash(policy), model_hash(reference));
        let held_out = match train.eval_every {
            Some(_) => self.validation.clone(),
            None => Vec::new(),
        };
        let data = (pairs_hash(&pairs), pairs_hash(&held_out));
        let inputs = hash_json(&(&train, self.config, alpha, data, &hashes));
        self.run.stage(stage, &inputs)?;
        let training = self.training(seed);
        let reference = (reference, hashes.1.as_str());
        let pairs = RowSource::Memory(pairs);
        let reference = training.reference(
            stage,
            self.config.loss,
            reference,
            &pairs,
            &held_out,
            u64::MAX,
        )?;
        let loss = self.config.loss;
        let objective = DirectObjective::new(
            pairs,
            held_out,
            Anchored { loss, alpha },
            reference,
            EVALUATION_TOKENS,
        )?;
        self.fit(&train, policy, &objective, started)
    }

    /// Trains `policy` with KTO on both answers of every pair; `policy` is also the reference.
    pub(crate) fn train_unpaired(
        &mut self,
        stage: &str,
        policy: &M,
        pairs: Vec<TokenizedPair>,
        steps: u64,
    ) -> Result<Iterate<M>, RecipeError> {
        let started = Instant::now();
        let train = TrainConfig {
            stage: stage.to_owned(),
            seed: self.config.seed,
            max_steps: Some(steps),
            // A step holds as many answers as a batch of pairs does.
            batch_size: self.config.train.batch_size.saturating_mul(2),
            ..self.config.train.clone()
        };
        let inputs = hash_json(&(&train, self.config, pairs_hash(&pairs), model_hash(policy)));
        self.run.stage(stage, &inputs)?;
        let examples = pairs.iter().flat_map(UnpairedExample::of_pair).collect();
        let reference = match &self.config.adaptation {
            Adaptation::Full => Reference::Model(policy.clone().merged()),
            Adaptation::Lora(_) => Reference::AdaptersOff,
        };
        let loss = self.config.kto;
        let objective = UnpairedObjective::new(examples, loss, reference, EVALUATION_TOKENS)?;
        self.fit(&train, policy, &objective, started)
    }

    fn fit<O: Objective<Model = M>>(
        &self,
        train: &TrainConfig,
        policy: &M,
        objective: &O,
        started: Instant,
    ) -> Result<Iterate<M>, RecipeError> {
        let trained = self
            .training(train.seed)
            .fit(train, policy, objective, started)?;
        Ok(Iterate {
            model: trained.model,
            offline: None,
            steps: trained.steps,
            seconds: trained.seconds,
        })
    }
}
