//! Options and data of direct alignment.

use collimate_core::{OptionError, PreferencePair, Prompt};
use collimate_data::{SftExample, Truncation};
use collimate_irm::ImplicitReward;
use collimate_losses::{Anchored, DirectLoss, Kto, PreferenceLoss, UnpairedLoss};
use collimate_train::{TrainConfig, TrainError};
use serde::{Deserialize, Serialize};

use crate::lengths::check_prompt_length;
use crate::{Adaptation, AnswerScorer, RecipeError, ResponseSampling, TrainPairs};

/// Options of direct alignment on pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AlignConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Direct alignment loss of a pair.
    pub loss: PreferenceLoss,
    /// Weight of a likelihood term on the chosen answers, added to the loss, at least 0; 0 leaves
    /// the term out. The loss must compare with a reference.
    pub nll_anchor: f64,
    /// If true, the margin of each pair is subtracted from the difference of the implicit rewards
    /// (DPO with an offset). The loss must take margins: dpo, simpo or slic_hf.
    pub use_margins: bool,
    /// Options of sampling the answers that the judge compares. Only `max_new_tokens` matters: the
    /// comparison always samples at temperature 1 and top-p 1.
    pub responses: ResponseSampling,
    /// Parameters that are trained: all parameters, or low-rank adapters.
    pub adaptation: Adaptation,
    /// Options of the training loop; the recipe sets `stage` and `seed`.
    pub train: TrainConfig,
    /// Longest sequence, in tokens, at least 3.
    pub max_length: usize,
    /// Number of tokens that a prompt keeps if prompt and answer together are longer than
    /// `max_length`, at least 1 and below `max_length`; null is half of `max_length`.
    pub max_prompt_length: Option<usize>,
    /// Side of the prompt, start or end, that is cut if a sequence is too long.
    pub truncation: Truncation,
}

impl Default for AlignConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            loss: PreferenceLoss::default(),
            nll_anchor: 0.0,
            use_margins: false,
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
    /// Options of the KTO loss.
    pub kto: Kto,
    /// Options of sampling the answers that the judge compares. Only `max_new_tokens` matters: the
    /// comparison always samples at temperature 1 and top-p 1.
    pub responses: ResponseSampling,
    /// Parameters that are trained: all parameters, or low-rank adapters.
    pub adaptation: Adaptation,
    /// Options of the training loop; the recipe sets `stage` and `seed`.
    pub train: TrainConfig,
    /// Longest sequence, in tokens, at least 3.
    pub max_length: usize,
    /// Number of tokens that a prompt keeps if prompt and answer together are longer than
    /// `max_length`, at least 1 and below `max_length`; null is half of `max_length`.
    pub max_prompt_length: Option<usize>,
    /// Side of the prompt, start or end, that is cut if a sequence is too long.
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

/// Refuses sampling options that the comparison of answers does not use.
fn check_responses(responses: &ResponseSampling, seed: u64) -> Result<(), RecipeError> {
    let default = ResponseSampling::default();
    for (name, value, unused) in [
        (
            "responses.temperature",
            responses.temperature,
            default.temperature,
        ),
        ("responses.top_p", responses.top_p, default.top_p),
    ] {
        if value != unused {
            let why = "left out, because answers are compared at temperature 1 and top-p 1";
            return Err(OptionError::new(name, value, why).into());
        }
    }
    Ok(responses.with(1, seed).check()?)
}

impl AlignConfig {
    /// Checks every option.
    ///
    /// # Errors
    /// The first option that is out of range, with the allowed range.
    pub fn check(&self) -> Result<(), RecipeError> {
        check_lengths(self.max_length, self.max_prompt_length, &self.adaptation)?;
        self.anchored().check().map_err(TrainError::objective)?;
        if self.use_margins && !self.loss.takes_margins() {
            let allowed = format!(
                "false for the loss {}, which takes no margins (dpo, simpo and slic_hf do)",
                self.loss.name()
            );
            return Err(OptionError::new("use_margins", true, &allowed).into());
        }
        check_responses(&self.responses, self.seed)?;
        Ok(self.train.validate()?)
    }

    /// Returns the loss with the likelihood term added.
    pub(crate) fn anchored(&self) -> Anchored<PreferenceLoss> {
        Anchored {
            loss: self.loss,
            alpha: self.nll_anchor,
        }
    }

    /// Returns the implicit reward that belongs to the loss: the mean log-probability for SimPO,
    /// the log-ratio per token for length-normalised DPO, else the log-ratio.
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
    /// The first option that is out of range, with the allowed range.
    pub fn check(&self) -> Result<(), RecipeError> {
        check_lengths(self.max_length, self.max_prompt_length, &self.adaptation)?;
        self.kto.check().map_err(TrainError::objective)?;
        check_responses(&self.responses, self.seed)?;
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
    pub train: TrainPairs,
    /// Pairs whose implicit rewards are compared after training.
    pub validation: Vec<PreferencePair>,
    /// Good answers; their perplexity shows the alignment tax.
    pub held_out: Vec<SftExample>,
    /// Prompts that the policy answers after training.
    pub prompts: Vec<Prompt>,
    /// Tokens that end an answer, in addition to the tokenizer's EOS (`eos_token_ids` of
    /// `collimate-lm` reads them from a model's folder).
    pub eos: Vec<u32>,
    /// Scorer of the answers; it needs `prompts`. Without a scorer, no answers are written.
    pub judge: Option<AnswerScorer<'a>>,
}

/// Labelled completions and prompts of a run.
#[derive(Debug, Clone, Default)]
pub struct UnpairedData<'a> {
    /// Completions to learn from, each with true if it is good and false if it is bad.
    pub train: Vec<(SftExample, bool)>,
    /// Good answers; their perplexity shows the alignment tax.
    pub held_out: Vec<SftExample>,
    /// Prompts that the policy answers after training.
    pub prompts: Vec<Prompt>,
    /// Tokens that end an answer, in addition to the tokenizer's EOS.
    pub eos: Vec<u32>,
    /// Scorer of the answers; it needs `prompts`. Without a scorer, no answers are written.
    pub judge: Option<AnswerScorer<'a>>,
}
