//! Errors of recipes; most are passed on from the crates that the recipes use.

use collimate_core::{GenerateError, OptionError, ScoreError};
use collimate_data::DataError;
use collimate_direct::DirectError;
use collimate_eval::EvalError;
use collimate_files::FileError;
use collimate_irm::IrmError;
use collimate_judge::JudgeError;
use collimate_nn::{LoadError, PackError, SaveError};
use collimate_ppo::PpoError;
use collimate_run::RunError;
use collimate_status::StatusError;
use collimate_train::TrainError;
use thiserror::Error;

/// Reason why a recipe stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// An option out of range.
    #[error(transparent)]
    Config(#[from] OptionError),
    /// Data that cannot be read, split or tokenised.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An error of the pair filter.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// An error of the evaluation.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A model folder that cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A model folder that cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// An error of selection by implicit reward margins.
    #[error(transparent)]
    Irm(#[from] IrmError),
    /// An error of direct alignment.
    #[error(transparent)]
    Direct(#[from] DirectError),
    /// Options of generation out of range.
    #[error(transparent)]
    Sampling(#[from] GenerateError),
    /// Generation of responses failed.
    #[error("{stage}: {source}")]
    Generate {
        /// Name of the stage.
        stage: String,
        /// The error of generation.
        source: GenerateError,
    },
    /// The scorer of the answers failed.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// The model cannot process a pair.
    #[error("{stage}: pair {pair}: {source}")]
    Pair {
        /// Name of the stage.
        stage: String,
        /// Index of the pair.
        pair: usize,
        /// The error in the pair.
        source: PackError,
    },
    /// A pair has no prompt, but answers are to be written.
    #[error(
        "training pair {pair} has no prompt to write answers to: give pairs with prompts, a tokenizer with BOS, or methods without own pairs (base, iterative, selection_only)"
    )]
    NoPrompt {
        /// Index of the pair.
        pair: usize,
    },
    /// The two answers of every pair are equal after cutting, so no pair teaches anything.
    #[error(
        "no pair of {part} is left: the answers of each of the {pairs} pairs are equal as tokens{}",
        advice(*cut, *max_length)
    )]
    AllEqual {
        /// Name of the part of the data.
        part: &'static str,
        /// Number of pairs.
        pairs: usize,
        /// Longest sequence, in tokens.
        max_length: usize,
        /// Number of pairs that were cut.
        cut: usize,
    },
    /// A method needs a judge, but none was given.
    #[error("a method of this run needs a judge: give a judge")]
    NoJudge,
    /// A review leaves no pair to train on.
    #[error("{stage}: no pair is left to train on ({dropped}): {advice}")]
    NoPairs {
        /// Name of the stage.
        stage: String,
        /// Counts of dropped responses or prompts, by reason.
        dropped: String,
        /// Advice for the user.
        advice: &'static str,
    },
    /// A language model that judges failed.
    #[error("{stage}: {source}")]
    Judge {
        /// Name of the stage.
        stage: String,
        /// The error of the judge.
        source: JudgeError,
    },
    /// An error of reinforcement learning.
    #[error(transparent)]
    Ppo(PpoError),
    /// An error of training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An error of the run folder, a report or a plot.
    #[error(transparent)]
    Run(RunError),
    /// A part of the data that a recipe needs has no row.
    #[error("{part} has no pair: give more data or another share")]
    Empty {
        /// Name of the part.
        part: &'static str,
    },
    /// A reward model gave a score that is not finite.
    #[error("{stage}: the score of {part} pair {index} is not finite: lower the learning rate")]
    NotFinite {
        /// Stage whose model gave the score.
        stage: String,
        /// Part of the data that was scored.
        part: &'static str,
        /// Index of the pair.
        index: usize,
    },
}

impl From<PpoError> for RecipeError {
    fn from(error: PpoError) -> Self {
        match error {
            // An interrupt of PPO is the same error as an interrupt of any other training.
            PpoError::Train(error) => Self::Train(error),
            error => Self::Ppo(error),
        }
    }
}

impl From<RunError> for RecipeError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Train(error) => Self::Train(error),
            error => Self::Run(error),
        }
    }
}

impl From<FileError> for RecipeError {
    fn from(error: FileError) -> Self {
        Self::Run(error.into())
    }
}

impl RecipeError {
    /// Turns an error of a judge into an error of a stage.
    pub(crate) fn judge(stage: &str) -> impl Fn(JudgeError) -> Self + '_ {
        move |source| Self::Judge {
            stage: stage.to_owned(),
            source,
        }
    }

    /// Returns true if the run was interrupted and can be resumed.
    pub fn is_interrupt(&self) -> bool {
        matches!(self, Self::Train(TrainError::Interrupted { .. }))
    }
}

/// Returns advice on equal answers: cutting made them equal, or the tokenizer cannot tell them
/// apart.
fn advice(cut: usize, max_length: usize) -> String {
    match cut {
        0 => ", though none was cut: the tokenizer cannot tell them apart".to_owned(),
        _ => format!(" after cutting to {max_length}: raise max_length (--max-length)"),
    }
}
