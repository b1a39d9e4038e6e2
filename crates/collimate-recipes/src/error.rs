//! What can go wrong in a recipe: mostly what its parts say.

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

/// Why a recipe stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// An option out of range.
    #[error(transparent)]
    Config(#[from] OptionError),
    /// Data that cannot be read, split or tokenised.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The filter.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The evaluation.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A model folder that cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A model folder that cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// Selection by implicit reward margins.
    #[error(transparent)]
    Irm(#[from] IrmError),
    /// Direct alignment.
    #[error(transparent)]
    Direct(#[from] DirectError),
    /// Options of generation.
    #[error(transparent)]
    Sampling(#[from] GenerateError),
    /// Generation of responses.
    #[error("{stage}: {source}")]
    Generate {
        /// The stage.
        stage: String,
        /// What went wrong.
        source: GenerateError,
    },
    /// Who scores the answers.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// A pair that the model cannot take.
    #[error("{stage}: pair {pair}: {source}")]
    Pair {
        /// The stage.
        stage: String,
        /// Which pair.
        pair: usize,
        /// What is wrong with it.
        source: PackError,
    },
    /// A pair without a prompt, where answers are to be written.
    #[error(
        "training pair {pair} has no prompt to write answers to: give pairs with prompts, a tokenizer with BOS, or methods without own pairs (base, iterative, selection_only)"
    )]
    NoPrompt {
        /// Which pair.
        pair: usize,
    },
    /// Pairs whose answers are all equal after cutting: none of them teaches anything.
    #[error(
        "no pair of {part} is left: the answers of each of the {pairs} pairs are equal as tokens{}",
        advice(*cut, *max_length)
    )]
    AllEqual {
        /// The part.
        part: &'static str,
        /// Number of pairs.
        pairs: usize,
        /// Longest sequence, in tokens.
        max_length: usize,
        /// Number of pairs that were cut.
        cut: usize,
    },
    /// A method that asks a judge, where there is none.
    #[error("a method of this run asks a judge, and none was given")]
    NoJudge,
    /// A review that leaves nothing to train on.
    #[error("{stage}: no pair is left to train on ({dropped}): {advice}")]
    NoPairs {
        /// The stage.
        stage: String,
        /// What became of the responses.
        dropped: String,
        /// What to do.
        advice: &'static str,
    },
    /// A language model as a judge.
    #[error("{stage}: {source}")]
    Judge {
        /// The stage.
        stage: String,
        /// What went wrong.
        source: JudgeError,
    },
    /// Reinforcement learning.
    #[error(transparent)]
    Ppo(PpoError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The run folder, a report or a plot.
    #[error(transparent)]
    Run(RunError),
    /// A part of the data that a recipe needs has no row.
    #[error("{part} has no pair: give more data or another share")]
    Empty {
        /// The part.
        part: &'static str,
    },
    /// A reward model gave a score that is not a number.
    #[error("{stage}: the score of {part} pair {index} is not finite: lower the learning rate")]
    NotFinite {
        /// The stage whose model scored.
        stage: String,
        /// What was scored.
        part: &'static str,
        /// The pair.
        index: usize,
    },
}

impl From<PpoError> for RecipeError {
    fn from(error: PpoError) -> Self {
        match error {
            // So that an interrupt is one, wherever it came.
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
    /// What a judge says, as an error of a stage.
    pub(crate) fn judge(stage: &str) -> impl Fn(JudgeError) -> Self + '_ {
        move |source| Self::Judge {
            stage: stage.to_owned(),
            source,
        }
    }

    /// Whether the run was interrupted and can go on.
    pub fn is_interrupt(&self) -> bool {
        matches!(self, Self::Train(TrainError::Interrupted { .. }))
    }
}

/// Equal answers come from cutting, or from a vocabulary that cannot tell them apart.
fn advice(cut: usize, max_length: usize) -> String {
    match cut {
        0 => ", though none was cut: the tokenizer cannot tell them apart".to_owned(),
        _ => format!(" after cutting to {max_length}: raise max_length (--max-length)"),
    }
}
