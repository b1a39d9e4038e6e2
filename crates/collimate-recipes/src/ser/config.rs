//! Options of self-evolved reward learning.

use collimate_core::{OptionError, Range};
use collimate_data::Truncation;
use collimate_losses::PairwiseLoss;
use collimate_status::{CalibratedConfig, FilterConfig, PairRule, ScoreCentre};
use collimate_train::TrainConfig;
use serde::{Deserialize, Serialize};

use super::recipe::{EnsembleConfig, LoopStatus, Recipe, SeedSteps};
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
/// the main run's loops, also where its rule keeps nothing more; only the seed ensemble has those of
/// its seed models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Training on the seed labels alone, for as many steps as the evolved model has behind it:
    /// what do more steps bring? It continues from the seed model or, as the loops do, from the
    /// start.
    LongerSeed,
    /// The mean of several seed models that have seen no self-label: what does averaging bring?
    SeedEnsemble,
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
    pub const ALL: [Self; 7] = [
        Self::LongerSeed,
        Self::SeedEnsemble,
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
            Self::SeedEnsemble => "seed_ensemble",
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
            Self::LongerSeed | Self::SeedEnsemble | Self::OracleLabels => None,
        }
    }
}

/// Options of self-evolved reward learning.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `seed` | 0 | |
/// | `recipe` | `calibrated` | see [`Recipe`] |
/// | `also` | none | other recipes, for comparison |
/// | `seed_share` | 0.15 | in (0, 1) |
/// | `seed_steps` | `cross_fitted` | see [`SeedSteps`] |
/// | `folds` | 5 | 2 to 100 |
/// | `max_loops` | 3 | 0 trains the seed model only |
/// | `filter` | see [`FilterConfig`] | of the recipe `paper` |
/// | `statuses` | none | of the recipe `paper` |
/// | `until_hard` | false | of the recipe `paper` |
/// | `calibrated` | see [`CalibratedConfig`] | |
/// | `student_noise` | 0.15 | [0, 1) |
/// | `go_anyway` | false | |
/// | `ensemble` | see [`EnsembleConfig`] | |
/// | `check_gain` | false | |
/// | `ask` | 100 | 0 asks for none |
/// | `score_centre` | `none` | `none`, `seed_mean` |
/// | `retrain_from` | `previous` | `previous`, `start` |
/// | `adaptation` | `full` | `full`, `lora` |
/// | `loss` | logistic, margin 0 | see [`PairwiseLoss`] |
/// | `train` | 2 epochs, 4 pairs, lr 2e-5 linear | see [`TrainConfig`]; `stage` and `seed` are set by the recipe |
/// | `max_length` | 512 | at least 3 tokens |
/// | `max_prompt_length` | half of `max_length` | at least 1 token, less than `max_length` |
/// | `truncation` | `keep_end` | |
/// | `baseline` | true | whether the all-labels model is trained too |
/// | `controls` | `longer_seed`, `seed_ensemble` | |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SerConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Way in which the model learns from the pool.
    pub recipe: Recipe,
    /// Other recipes that are run beside the main one, from the same Loop 0, for comparison.
    pub also: Vec<Recipe>,
    /// Rule for the number of optimiser steps of Loop 0.
    pub seed_steps: SeedSteps,
    /// Number of parts into which the human labels are cut so that each part is predicted by a model
    /// that has not seen it, 2 to 100.
    pub folds: usize,
    /// Share of the training pairs whose human label is used, above 0 and below 1; it has no meaning
    /// where labelled and unlabelled pairs are given apart.
    pub seed_share: f64,
    /// Largest number of loops of `paper` and `calibrated` after the seed model (Loop 0); 0 trains the
    /// seed model only.
    pub max_loops: usize,
    /// Thresholds and rule of the pair filter of `paper`.
    pub filter: FilterConfig,
    /// Status of each loop of `paper`, in place of the status that the scores say; the loops end with
    /// the list. Empty leaves the status to the scores.
    pub statuses: Vec<LoopStatus>,
    /// Go on with the loops of `paper` past `max_loops` until Status 2 has happened once, at most four
    /// times as many.
    pub until_hard: bool,
    /// Precision and length balance of `calibrated`.
    pub calibrated: CalibratedConfig,
    /// Share of the tokens that are replaced while a student of `calibrated` learns, at least 0 and
    /// below 1.
    pub student_noise: f64,
    /// Let `calibrated` keep its surest pairs even where it refuses: to measure if the refusal was right.
    pub go_anyway: bool,
    /// Options of `noisy_ensemble`.
    pub ensemble: EnsembleConfig,
    /// Test by cross-fitting whether the recipe lowers the log loss of human labels that it has not seen.
    /// The whole recipe runs once for each fold.
    pub check_gain: bool,
    /// Number of pairs of the pool whose label to ask for next; 0 asks for none.
    pub ask: usize,
    /// Score that is worth p = ½.
    pub score_centre: ScoreCentre,
    /// Model that the retraining of a loop of `paper` starts from.
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
            recipe: Recipe::default(),
            also: Vec::new(),
            seed_steps: SeedSteps::default(),
            folds: 5,
            filter: FilterConfig::default(),
            statuses: Vec::new(),
            until_hard: false,
            calibrated: CalibratedConfig::default(),
            student_noise: 0.15,
            go_anyway: false,
            ensemble: EnsembleConfig::default(),
            check_gain: false,
            ask: 100,
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
            controls: vec![Control::LongerSeed, Control::SeedEnsemble],
        }
    }
}

impl SerConfig {
    /// Model that the retraining of a recipe's loops starts from: only the paper's loops may go on from
    /// the loop before.
    pub(crate) fn retrains_from(&self, recipe: Recipe) -> RetrainFrom {
        match recipe {
            Recipe::Paper => self.retrain_from,
            Recipe::Calibrated | Recipe::NoisyEnsemble => RetrainFrom::Start,
        }
    }

    /// The recipes of a run: the main one first, each once.
    pub fn recipes(&self) -> Vec<Recipe> {
        let mut all = vec![self.recipe];
        for &recipe in &self.also {
            if !all.contains(&recipe) {
                all.push(recipe);
            }
        }
        all
    }

    /// True if some part of the run needs predictions of human labels that the model has not seen.
    pub fn cross_fits(&self) -> bool {
        self.seed_steps == SeedSteps::CrossFitted
            || self.check_gain
            || self.recipes().contains(&Recipe::Calibrated)
    }

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
        self.calibrated.check()?;
        self.ensemble.check()?;
        Range::BelowOne.check("student_noise", self.student_noise)?;
        let holds = (2..=100).contains(&self.folds);
        OptionError::check("folds", self.folds, "2 to 100", holds)?;
        self.train.validate()?;
        Ok(())
    }
}
