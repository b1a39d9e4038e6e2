//! The recipes of SER, and the options that belong to one of them.

use collimate_core::{OptionError, Range};
use serde::{Deserialize, Serialize};

use crate::RecipeError;

/// Way in which a reward model learns from pairs without labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    /// The paper's loops: thresholds on σ(score) by learning status.
    Paper,
    /// Loops that keep only labels that are right with a probability fitted on the human labels, and
    /// stop where there are too few of them; for pretrained models.
    #[default]
    Calibrated,
    /// Several noised seed models label the whole pool with probabilities, noised students learn
    /// them and label again; for small models from scratch.
    NoisyEnsemble,
}

impl Recipe {
    /// All recipes.
    pub const ALL: [Self; 3] = [Self::Paper, Self::Calibrated, Self::NoisyEnsemble];

    /// Name of the recipe in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Calibrated => "calibrated",
            Self::NoisyEnsemble => "noisy_ensemble",
        }
    }
}

/// Rule for the number of optimiser steps of the seed model, Loop 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SeedSteps {
    /// `train.epochs`, or another number of passes if it predicts held-out labels clearly better: the
    /// human labels are cut into folds, and each fold is predicted by a model that learnt from the
    /// others.
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
    /// The head of the model that the run starts with.
    #[default]
    Same,
    /// A head of its own for each model, drawn at random: more variety, for a start without a trained
    /// head.
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
/// The default is the lean form. The full form has 3 students and 3 rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EnsembleConfig {
    /// Number of seed models that label the pool together, 1 to 100.
    pub models: usize,
    /// Number of students of each round but the last, whose mean labels the pool for the next round,
    /// 1 to 100; the last round has one student.
    pub students: usize,
    /// Number of rounds of labelling and learning, 1 to 20.
    pub rounds: usize,
    /// Share of the tokens that are replaced when a seed model or a student learns, at least 0 and
    /// below 1.
    pub noise: f64,
    /// Sharpness s of the soft labels σ(s · o / mean |o|), where o is the mean score gap of the
    /// teachers, above 0.
    pub sharpness: f64,
    /// Reward head that seed models and students start from.
    pub heads: Heads,
    /// Passes of the noised seed models over the labels, as a multiple of those of Loop 0, above 0 and at
    /// most 100: noise keeps a model from learning the labels by heart.
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

/// Status that a loop of the paper's recipe is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LoopStatus {
    /// Status 1: pairs with one answer surely good and the other surely bad.
    Easy,
    /// Status 2: pairs whose answers are far apart.
    Hard,
}
