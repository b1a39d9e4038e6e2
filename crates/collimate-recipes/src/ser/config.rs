//! Options of self-evolved reward learning.

use collimate_core::OptionError;
use collimate_data::Truncation;
use collimate_losses::PairwiseLoss;
use collimate_status::{FilterConfig, PairRule, ScoreCentre};
use collimate_train::TrainConfig;
use serde::{Deserialize, Serialize};

use crate::lengths::check_prompt_length;
use crate::{Adaptation, RecipeError};

/// Model that the retraining of a loop starts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RetrainFrom {
    /// The weights of the loop before.
    #[default]
    Previous,
    /// The model that the seed stage started from.
    Start,
}

/// A run beside the main one that tells where its gain comes from. Each has the optimiser steps of
/// the main run's loops, also where its rule keeps nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Training on the seed labels alone, for as many steps as the evolved model has behind it:
    /// what do more steps bring? It continues from the seed model or, as the loops do, from the
    /// start.
    LongerSeed,
    /// All self-labels that are not ties are kept: what does filtering bring?
    Unfiltered,
    /// Pairs are kept at Status 1 only.
    EasyOnly,
    /// Pairs are kept at Status 2 only.
    HardOnly,
    /// Pairs are kept by the released code's rule, without a status.
    EitherPerPair,
    /// The pairs that the main run keeps are trained on with their human labels: what do wrong
    /// self-labels cost?
    OracleLabels,
}

impl Control {
    /// All controls.
    pub const ALL: [Self; 6] = [
        Self::LongerSeed,
        Self::Unfiltered,
        Self::EasyOnly,
        Self::HardOnly,
        Self::EitherPerPair,
        Self::OracleLabels,
    ];

    /// Its name in files: a prefix of stage names, a key in the summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::LongerSeed => "longer_seed",
            Self::Unfiltered => "unfiltered",
            Self::EasyOnly => "easy_only",
            Self::HardOnly => "hard_only",
            Self::EitherPerPair => "either_per_pair",
            Self::OracleLabels => "oracle_labels",
        }
    }

    /// The filter rule of a control that is a run of its own with another rule.
    pub(crate) fn rule(self) -> Option<PairRule> {
        match self {
            Self::Unfiltered => Some(PairRule::Unfiltered),
            Self::EasyOnly => Some(PairRule::EasyOnly {
                evidence: Default::default(),
            }),
            Self::HardOnly => Some(PairRule::HardOnly {
                sides: Default::default(),
            }),
            Self::EitherPerPair => Some(PairRule::EitherPerPair),
            Self::LongerSeed | Self::OracleLabels => None,
        }
    }
}

/// Options of self-evolved reward learning.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `seed` | 0 | |
/// | `seed_share` | 0.15 | in (0, 1) |
/// | `max_loops` | 3 | 0 trains the seed model only |
/// | `filter` | see [`FilterConfig`] | |
/// | `score_centre` | `none` | `none`, `seed_mean` |
/// | `retrain_from` | `previous` | `previous`, `start` |
/// | `adaptation` | `full` | `full`, `lora` |
/// | `loss` | logistic, margin 0 | see [`PairwiseLoss`] |
/// | `train` | 2 epochs, 4 pairs, lr 2e-5 linear | see [`TrainConfig`]; `stage` and `seed` are set by the recipe |
/// | `max_length` | 512 | at least 3 tokens |
/// | `max_prompt_length` | half of `max_length` | at least 1 token, less than `max_length` |
/// | `truncation` | `keep_end` | |
/// | `baseline` | true | whether the all-labels model is trained too |
/// | `controls` | none | |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SerConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Share of the training pairs whose human label is used, above 0 and below 1.
    pub seed_share: f64,
    /// Largest number of loops after the seed model (Loop 0); 0 trains the seed model only.
    pub max_loops: usize,
    /// Thresholds and rule of the pair filter.
    pub filter: FilterConfig,
    /// Score that is worth p = ½.
    pub score_centre: ScoreCentre,
    /// Model that the retraining of a loop starts from.
    pub retrain_from: RetrainFrom,
    /// Parameters that are trained.
    pub adaptation: Adaptation,
    /// Loss on the raw scores of a pair.
    pub loss: PairwiseLoss,
    /// Training options of every stage; the recipe sets `stage` and `seed`.
    pub train: TrainConfig,
    /// Longest sequence, in tokens, at least 3.
    pub max_length: usize,
    /// Number of tokens that a prompt keeps where prompt and answer together are too long, at
    /// least 1 and below `max_length`; null is half of `max_length`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_prompt_length: Option<usize>,
    /// Part of the prompt that is cut from a sequence that is too long.
    pub truncation: Truncation,
    /// Train the model with all labels too, for comparison.
    pub baseline: bool,
    /// Control runs that tell where the gain comes from.
    pub controls: Vec<Control>,
}

impl Default for SerConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            seed_share: 0.15,
            max_loops: 3,
            filter: FilterConfig::default(),
            score_centre: ScoreCentre::default(),
            retrain_from: RetrainFrom::default(),
            adaptation: Adaptation::default(),
            loss: PairwiseLoss::default(),
            train: TrainConfig {
                learning_rate: 2e-5,
                epochs: 2.0,
                batch_size: 4,
                keep_best: false,
                ..TrainConfig::default()
            },
            max_length: 512,
            max_prompt_length: None,
            truncation: Truncation::default(),
            baseline: true,
            controls: Vec::new(),
        }
    }
}

impl SerConfig {
    /// Checks every option.
    ///
    /// # Errors
    /// The first option out of range.
    pub fn check(&self) -> Result<(), RecipeError> {
        if !(self.seed_share > 0.0 && self.seed_share < 1.0) {
            return Err(OptionError::new(
                "seed_share",
                self.seed_share,
                "between 0 and 1, both excluded: it is the share of pairs with a human label",
            )
            .into());
        }
        if self.max_length < 3 {
            let allowed = "at least 3 tokens: BOS, one token, EOS";
            return Err(OptionError::new("max_length", self.max_length, allowed).into());
        }
        check_prompt_length(self.max_prompt_length, self.max_length)?;
        if let Adaptation::Lora(lora) = &self.adaptation {
            lora.check()?;
        }
        self.loss
            .check()
            .map_err(collimate_train::TrainError::objective)?;
        self.filter.check()?;
        self.train.validate()?;
        Ok(())
    }
}
