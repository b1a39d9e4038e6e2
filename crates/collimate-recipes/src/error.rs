//! What can go wrong in a recipe: mostly what its parts say.

use collimate_data::DataError;
use collimate_eval::EvalError;
use collimate_nn::{ConfigError, LoadError, SaveError};
use collimate_status::StatusError;
use collimate_train::TrainError;
use thiserror::Error;

/// Why a recipe stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// An option out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    /// Training, or the run folder.
    #[error(transparent)]
    Train(#[from] TrainError),
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

impl RecipeError {
    /// Whether the run was interrupted and can go on.
    pub fn is_interrupt(&self) -> bool {
        matches!(self, Self::Train(TrainError::Interrupted { .. }))
    }
}
