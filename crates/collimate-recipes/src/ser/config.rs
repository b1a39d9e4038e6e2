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
    /// The model of the loop before.
    #[default]
    Previous,
    /// The model that Loop 0 started from.
    Start,
}

/// An extra run that isolates one cause of the main run's gain. Each control makes as many
/// optimiser steps as the main run's loops, even if its rule keeps no further pairs. If the main
/// recipe trained no loop, the first other recipe that did takes the main run's place. Only the seed
/// ensemble has the steps of its seed models instead. Controls learn without token noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Trains on the human labels alone, for as many steps as the evolved model has behind it.
    /// Shows what more steps bring. Continues from the seed model or, as the loops do, from the
    /// start.
    LongerSeed,
    /// Averages several seed models that have seen no self-label. Shows what averaging brings.
    SeedEnsemble,
    /// Keeps all self-labels that are not ties. Shows what filtering brings.
    Unfiltered,
    /// Keeps pairs at Status 1 only.
    EasyOnly,
    /// Keeps pairs at Status 2 only.
    HardOnly,
    /// Keeps pairs by the rule of the paper's released code, without a status.
    EitherPerPair,
    /// Trains on the pairs that the main run keeps, with their human labels. Shows what wrong
    /// self-labels cost.
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

    /// Returns the name used in files: a prefix of stage names and a key in the summary.
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

    /// Returns the filter rule of a control that repeats the loops with another rule than the
    /// configured one.
    pub(crate) fn rule(self, configured: PairRule) -> Option<PairRule> {
        match self {
            Self::Unfiltered => Some(PairRule::Unfiltered),
            Self::EasyOnly => Some(LoopStatus::Easy.rule(configured)),
            Self::HardOnly => Some(LoopStatus::Hard.rule(configured)),
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
/// | `filter` | see [`FilterConfig`] | used by the recipe `paper` |
/// | `statuses` | none | used by the recipe `paper` |
/// | `until_hard` | false | used by the recipe `paper` |
/// | `calibrated` | see [`CalibratedConfig`] | |
/// | `student_noise` | 0.15 | [0, 1) |
/// | `go_anyway` | false | |
/// | `ensemble` | see [`EnsembleConfig`] | |
/// | `check_gain` | false | |
/// | `ask` | 100 | 0: none, and no pass of the seed models over the pool; above 0, the run does cross-fitting |
/// | `score_centre` | `none` | `none`, `seed_mean` |
/// | `retrain_from` | `previous` | `previous`, `start` |
/// | `adaptation` | `full` | `full`, `lora` |
/// | `loss` | logistic, margin 0 | see [`PairwiseLoss`] |
/// | `train` | 2 epochs, 4 pairs, lr 2e-5 linear | see [`TrainConfig`]; `stage` and `seed` are set by the recipe |
/// | `max_length` | 512 | at least 3 tokens |
/// | `max_prompt_length` | half of `max_length` | at least 1 token, less than `max_length` |
/// | `truncation` | `keep_end` | |
/// | `baseline` | true | true trains the model with all labels too |
/// | `controls` | `longer_seed`, `seed_ensemble` | |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SerConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Method by which the model learns from the pool.
    pub recipe: Recipe,
    /// Other recipes to run after the main one, from the same Loop 0, for comparison.
    pub also: Vec<Recipe>,
    /// Rule that sets the number of optimiser steps of Loop 0.
    pub seed_steps: SeedSteps,
    /// Number of parts into which the human labels are cut for cross-fitting, 2 to 100. Each part
    /// is predicted by a model that has not seen it.
    pub folds: usize,
    /// Share of the training pairs whose human label is used, above 0 and below 1. Ignored if
    /// labelled and unlabelled pairs are given separately.
    pub seed_share: f64,
    /// Largest number of loops of `paper` and `calibrated` after the seed model (Loop 0); 0 trains
    /// the seed model only.
    pub max_loops: usize,
    /// Thresholds and rule of the pair filter of `paper`.
    pub filter: FilterConfig,
    /// Status of each loop of `paper`, instead of the status that the scores give. The loops end
    /// with the list. If empty, the scores decide the status.
    pub statuses: Vec<LoopStatus>,
    /// If true, the loops of `paper` continue past `max_loops` until Status 2 has happened once, up
    /// to four times `max_loops`.
    pub until_hard: bool,
    /// Required precision and length balance of `calibrated`.
    pub calibrated: CalibratedConfig,
    /// Share of the tokens that are replaced at random while a student of `calibrated` learns, at
    /// least 0 and below 1.
    pub student_noise: f64,
    /// If true, `calibrated` keeps its surest pairs even if they miss the required precision. Use
    /// it to measure whether stopping would have been right.
    pub go_anyway: bool,
    /// Options of `noisy_ensemble`.
    pub ensemble: EnsembleConfig,
    /// If true, cross-fitting tests whether the recipe lowers the log loss of human labels that it
    /// has not seen. The whole recipe then runs once more for each fold.
    pub check_gain: bool,
    /// Number of pairs of the pool to propose for human labelling next. Above 0, the run does
    /// cross-fitting. With 0, the models of the cross-fit read at most 512 pairs of the pool, and
    /// their agreement is not reported.
    pub ask: usize,
    /// Score centre: the constant subtracted from scores, so that a score equal to the centre has
    /// probability ½.
    pub score_centre: ScoreCentre,
    /// Model that the retraining of each `paper` loop starts from.
    pub retrain_from: RetrainFrom,
    /// Parameters that are trained.
    pub adaptation: Adaptation,
    /// Loss on the raw scores of a pair.
    pub loss: PairwiseLoss,
    /// Training options of every stage; the recipe sets `stage` and `seed`. Stages whose length the
    /// recipe sets complete it: `keep_best` and `patience` then have no effect. These are the seed
    /// model with cross-fitting, the students of `calibrated` and `noisy_ensemble`, and the controls.
    pub train: TrainConfig,
    /// Longest sequence, in tokens, at least 3.
    pub max_length: usize,
    /// Number of tokens that a prompt keeps if prompt and answer together are longer than
    /// `max_length`, at least 1 and below `max_length`; null is half of `max_length`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_prompt_length: Option<usize>,
    /// Side of the prompt, start or end, that is cut if a sequence is too long.
    pub truncation: Truncation,
    /// If true, a model is also trained with all labels, for comparison.
    pub baseline: bool,
    /// Control runs that show where the gain comes from.
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
    /// Returns the model that retraining in a recipe's loops starts from. Only the loops of `paper`
    /// may continue from the loop before.
    pub(crate) fn retrains_from(&self, recipe: Recipe) -> RetrainFrom {
        match recipe {
            Recipe::Paper => self.retrain_from,
            Recipe::Calibrated | Recipe::NoisyEnsemble => RetrainFrom::Start,
        }
    }

    /// Returns the recipes of a run: the main recipe first, each recipe once.
    pub fn recipes(&self) -> Vec<Recipe> {
        let mut all = vec![self.recipe];
        for &recipe in &self.also {
            if !all.contains(&recipe) {
                all.push(recipe);
            }
        }
        all
    }

    /// Returns true if some part of the run needs predictions of human labels that the model has not seen.
    pub fn cross_fits(&self) -> bool {
        self.seed_steps == SeedSteps::CrossFitted
            || self.check_gain
            || self.ask > 0
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
                "between 0 and 1, both excluded: seed_share is the share of pairs with a human \
                 label",
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
