//! Options and data of direct alignment.

use collimate_core::OptionError;
use collimate_core::{PreferencePair, Prompt};
use collimate_data::{SftExample, Truncation};
use collimate_irm::ImplicitReward;
use collimate_losses::{Anchored, DirectLoss, Kto, PreferenceLoss, UnpairedLoss};
use collimate_train::{TrainConfig, TrainError};
use serde::{Deserialize, Serialize};

use crate::lengths::check_prompt_length;
use crate::{Adaptation, AnswerScorer, RecipeError, ResponseSampling};

/// Options of direct alignment on pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AlignConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Loss of a pair.
    pub loss: PreferenceLoss,
    /// Weight of a likelihood term on the chosen answers beside the loss, at least 0; 0 leaves it
    /// out. The loss must compare with a reference.
    pub nll_anchor: f64,
    /// Sampling of the answers that a judge compares; the temperature of the comparison is 1.
    pub responses: ResponseSampling,
    /// Parameters that are trained: all of them, or low-rank adapters.
    pub adaptation: Adaptation,
    /// The step loop; the recipe names the stage.
    pub train: TrainConfig,
    /// Longest sequence in tokens.
    pub max_length: usize,
    /// Tokens that a prompt keeps where prompt and answer are longer than the longest sequence; without
    /// a number half of it.
    pub max_prompt_length: Option<usize>,
    /// Side at which longer sequences are cut.
    pub truncation: Truncation,
}

impl Default for AlignConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            loss: PreferenceLoss::default(),
            nll_anchor: 0.0,
            responses: ResponseSampling::default(),
            adaptation: Adaptation::default(),
            train: train(),
            max_length: 1024,
            max_prompt_length: None,
            truncation: Truncation::default(),
        }
    }
}

/// Options of alignment on single completions that are labelled good or bad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct UnpairedConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Options of KTO.
    pub kto: Kto,
    /// Sampling of the answers that a judge compares; the temperature of the comparison is 1.
    pub responses: ResponseSampling,
    /// Parameters that are trained: all of them, or low-rank adapters.
    pub adaptation: Adaptation,
    /// The step loop; the recipe names the stage.
    pub train: TrainConfig,
    /// Longest sequence in tokens.
    pub max_length: usize,
    /// Tokens that a prompt keeps where prompt and answer are longer than the longest sequence; without
    /// a number half of it.
    pub max_prompt_length: Option<usize>,
    /// Side at which longer sequences are cut.
    pub truncation: Truncation,
}

impl Default for UnpairedConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            kto: Kto::default(),
            responses: ResponseSampling::default(),
            adaptation: Adaptation::default(),
            train: train(),
            max_length: 1024,
            max_prompt_length: None,
            truncation: Truncation::default(),
        }
    }
}

fn train() -> TrainConfig {
    TrainConfig {
        learning_rate: 5e-6,
        batch_size: 16,
        epochs: 1.0,
        save_every: Some(200),
        keep_best: false,
        ..TrainConfig::default()
    }
}

impl AlignConfig {
    /// Checks every option.
    ///
    /// # Errors
    /// The first option that is out of range, with the range.
    pub fn check(&self) -> Result<(), RecipeError> {
        check_lengths(self.max_length, self.max_prompt_length, &self.adaptation)?;
        self.anchored().check().map_err(TrainError::objective)?;
        self.responses.with(1, self.seed).check()?;
        Ok(self.train.validate()?)
    }

    /// The loss with the anchor.
    pub(crate) fn anchored(&self) -> Anchored<PreferenceLoss> {
        Anchored {
            loss: self.loss,
            alpha: self.nll_anchor,
        }
    }

    /// The implicit reward of the loss: the mean log-probability for SimPO, the log-ratio per token for
    /// length-normalised DPO, else the log-ratio.
    pub(crate) fn implicit_reward(&self) -> ImplicitReward {
        match self.loss {
            PreferenceLoss::Simpo(_) => ImplicitReward::MeanLogp,
            PreferenceLoss::DpoNorm(_) => ImplicitReward::LengthNormalizedLogRatio,
            _ => ImplicitReward::LogRatio,
        }
    }
}

impl UnpairedConfig {
    /// Checks every option.
    ///
    /// # Errors
    /// The first option that is out of range, with the range.
    pub fn check(&self) -> Result<(), RecipeError> {
        check_lengths(self.max_length, self.max_prompt_length, &self.adaptation)?;
        self.kto.check().map_err(TrainError::objective)?;
        self.responses.with(1, self.seed).check()?;
        Ok(self.train.validate()?)
    }
}

fn check_lengths(
    max_length: usize,
    max_prompt_length: Option<usize>,
    adaptation: &Adaptation,
) -> Result<(), RecipeError> {
    if max_length < 3 {
        let allowed = "at least 3 tokens: BOS, one token, EOS";
        return Err(OptionError::new("max_length", max_length, allowed).into());
    }
    check_prompt_length(max_prompt_length, max_length)?;
    if let Adaptation::Lora(lora) = adaptation {
        lora.check()?;
    }
    Ok(())
}

/// Pairs and prompts of a run.
#[derive(Debug, Clone, Default)]
pub struct AlignData<'a> {
    /// Pairs to learn from.
    pub train: Vec<PreferencePair>,
    /// Pairs whose implicit rewards are compared after training.
    pub validation: Vec<PreferencePair>,
    /// Good answers, whose perplexity shows the alignment tax.
    pub held_out: Vec<SftExample>,
    /// Prompts that the policy answers.
    pub prompts: Vec<Prompt>,
    /// Tokens that end an answer beside the tokenizer's EOS (`eos_token_ids` of `collimate-lm` reads
    /// them from a model's folder).
    pub eos: Vec<u32>,
    /// Scorer of the answers; without it, or without prompts, no answers are written.
    pub judge: Option<AnswerScorer<'a>>,
}

/// Labelled completions and prompts of a run.
#[derive(Debug, Clone, Default)]
pub struct UnpairedData<'a> {
    /// Completions to learn from, each with true for good and false for bad.
    pub train: Vec<(SftExample, bool)>,
    /// Good answers, whose perplexity shows the alignment tax.
    pub held_out: Vec<SftExample>,
    /// Prompts that the policy answers.
    pub prompts: Vec<Prompt>,
    /// Tokens that end an answer beside the tokenizer's EOS.
    pub eos: Vec<u32>,
    /// Scorer of the answers; without it, or without prompts, no answers are written.
    pub judge: Option<AnswerScorer<'a>>,
}
