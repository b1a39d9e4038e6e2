//! The recipes of SER, and the options that belong to only one of them.

use collimate_core::{OptionError, Range};
use collimate_status::PairRule;
use serde::{Deserialize, Serialize};

use crate::RecipeError;

/// Method by which a reward model learns from pairs without labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    /// The paper's loops: thresholds on σ(score) that depend on the learning status.
    Paper,
    /// Loops that keep only labels that are right with a required probability, which is calibrated
    /// on the human labels. The loops stop if too few labels qualify. For pretrained models.
    #[default]
    Calibrated,
    /// Several seed models, trained with token noise, label the whole pool with probabilities.
    /// Students, also trained with noise, learn these labels and label the pool again. For small
    /// models trained from scratch.
    NoisyEnsemble,
}

impl Recipe {
    /// All recipes.
    pub const ALL: [Self; 3] = [Self::Paper, Self::Calibrated, Self::NoisyEnsemble];

    /// Returns the name of the recipe in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Calibrated => "calibrated",
            Self::NoisyEnsemble => "noisy_ensemble",
        }
    }
}

/// Rule that sets the number of optimiser steps of the seed model, Loop 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SeedSteps {
    /// `train.epochs`, or another number of passes that predicts held-out labels clearly better.
    /// For this, the human labels are cut into folds, and each fold is predicted by a model that
    /// learnt from the others.
    #[default]
    CrossFitted,
    /// `train.epochs`, as in the paper.
    Epochs,
}

/// Reward head that the models of an ensemble start from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Heads {
    /// The head of the run's start model.
    #[default]
    Same,
    /// A new random head for each model. The models then differ more; use it if the start model has
    /// no trained head.
    Fresh,
}

/// Options of the recipe `noisy_ensemble`.
///
/// | field | default | range |
/// |---|---|---|
/// | `models` | 5 | 1 to 100 |
/// | `students` | 1 | 1 to 100 |
/// | `rounds` | 2 | 1 to 20 |
/// | `noise` | 0.3 | [0, 1) |
/// | `sharpness` | 1.2 | above 0 |
/// | `heads` | `same` | see [`Heads`] |
/// | `passes` | 1 | above 0, at most 100 |
///
/// The default is the small form. The full form has 3 students and 3 rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EnsembleConfig {
    /// Number of seed models that label the pool together, 1 to 100.
    pub models: usize,
    /// Number of students in each round except the last, 1 to 100. The mean of the students labels
    /// the pool for the next round; the last round has one student.
    pub students: usize,
    /// Number of rounds of labelling and learning, 1 to 20.
    pub rounds: usize,
    /// Share of the tokens that are replaced while a seed model or a student learns, at least 0 and
    /// below 1.
    pub noise: f64,
    /// Sharpness s of the soft labels σ(s · o / mean |o|), above 0; o is the mean score gap of the
    /// teachers.
    pub sharpness: f64,
    /// Reward head that the seed models and students start from.
    pub heads: Heads,
    /// Passes of the noised seed models over the labels, as a multiple of Loop 0's passes, above 0
    /// and at most 100. Noise allows more passes, because it keeps a model from memorising the
    /// labels.
    pub passes: f64,
}

impl Default for EnsembleConfig {
    fn default() -> Self {
        Self {
            models: 5,
            students: 1,
            rounds: 2,
            noise: 0.3,
            sharpness: 1.2,
            heads: Heads::default(),
            passes: 1.0,
        }
    }
}

impl EnsembleConfig {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// The first option out of range.
    pub fn check(&self) -> Result<(), RecipeError> {
        for (path, value, most) in [
            ("ensemble.models", self.models, 100),
            ("ensemble.students", self.students, 100),
            ("ensemble.rounds", self.rounds, 20),
        ] {
            let allowed = format!("1 to {most}");
            OptionError::check(path, value, &allowed, (1..=most).contains(&value))?;
        }
        Range::BelowOne.check("ensemble.noise", self.noise)?;
        let (path, passes) = ("ensemble.passes", self.passes);
        let holds = passes > 0.0 && passes <= 100.0;
        OptionError::check(path, passes, "above 0, at most 100", holds)?;
        let (path, sharpness) = ("ensemble.sharpness", self.sharpness);
        let holds = sharpness > 0.0 && sharpness.is_finite();
        Ok(OptionError::check(
            path,
            sharpness,
            "above 0, finite",
            holds,
        )?)
    }
}

/// Status that a loop of the recipe `paper` is forced to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LoopStatus {
    /// Status 1: keeps pairs with one answer surely good and the other surely bad.
    Easy,
    /// Status 2: keeps pairs whose answers are far apart.
    Hard,
}

impl LoopStatus {
    /// Returns the filter rule of the status, with the conditions that the configured rule sets for
    /// this status.
    pub(crate) fn rule(self, configured: PairRule) -> PairRule {
        let (evidence, sides) = match configured {
            PairRule::Status { evidence, sides } => (evidence, sides),
            _ => Default::default(),
        };
        match self {
            Self::Easy => PairRule::EasyOnly { evidence },
            Self::Hard => PairRule::HardOnly { sides },
        }
    }
}
