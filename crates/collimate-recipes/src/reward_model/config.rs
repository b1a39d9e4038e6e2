//! Options and data of a reward model.

use collimate_core::OptionError;
use collimate_core::PreferencePair;
use collimate_data::Truncation;
use collimate_losses::PairwiseLoss;
use collimate_train::TrainConfig;
use serde::{Deserialize, Serialize};

use crate::lengths::check_prompt_length;
use crate::{Adaptation, RecipeError, TrainPairs};

/// Options of a reward model's training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RewardModelConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Loss on the two scores of a pair.
    pub loss: PairwiseLoss,
    /// Parameters that are trained: all parameters, or low-rank adapters and the head.
    pub adaptation: Adaptation,
    /// Longest sequence, in tokens, at least 3.
    pub max_length: usize,
    /// Number of tokens that a prompt keeps if prompt and answer together are longer than
    /// `max_length`, at least 1 and below `max_length`; null is half of `max_length`.
    pub max_prompt_length: Option<usize>,
    /// Side of the prompt, start or end, that is cut if a sequence is too long.
    pub truncation: Truncation,
    /// Options of the training loop; the recipe sets `seed`.
    pub train: TrainConfig,
}

impl Default for RewardModelConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            loss: PairwiseLoss::default(),
            adaptation: Adaptation::Full,
            max_length: 1024,
            max_prompt_length: None,
            truncation: Truncation::KeepEnd,
            train: TrainConfig {
                stage: "reward".to_owned(),
                learning_rate: 2e-5,
                batch_size: 16,
                epochs: 1.0,
                save_every: Some(200),
                keep_best: false,
                ..TrainConfig::default()
            },
        }
    }
}

impl RewardModelConfig {
    /// Checks every option.
    ///
    /// # Errors
    /// The first option that is out of range, with the allowed range.
    pub fn check(&self) -> Result<(), RecipeError> {
        if self.max_length < 3 {
            let allowed = "at least 3 tokens: BOS, one token, EOS";
            return Err(OptionError::new("max_length", self.max_length, allowed).into());
        }
        check_prompt_length(self.max_prompt_length, self.max_length)?;
        self.loss
            .check()
            .map_err(collimate_train::TrainError::objective)?;
        if let Adaptation::Lora(lora) = &self.adaptation {
            lora.check()?;
        }
        Ok(self.train.validate()?)
    }
}

/// Labelled pairs of a run. Margins and weights of the training pairs count in the loss.
#[derive(Debug, Clone, Default)]
pub struct RewardModelData {
    /// Pairs to learn from.
    pub train: TrainPairs,
    /// Pairs for evaluation during and after training.
    pub validation: Vec<PreferencePair>,
    /// Pairs that are scored once, at the end.
    pub test: Vec<PreferencePair>,
}
