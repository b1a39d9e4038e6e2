//! Errors of tasks, models, data sets and batches.

use collimate_direct::DirectError;
use collimate_losses::LossError;
use collimate_nn::PackError;
use thiserror::Error;

/// Reason why a task, a model or a data set is refused, or a batch fails.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LearnerError {
    /// A loss refuses its options or its input.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// Direct alignment refuses its options or its input.
    #[error(transparent)]
    Direct(DirectError),
    /// A completion has no token that the model predicts.
    #[error("item {item} has a completion without tokens: drop the item")]
    EmptyCompletion {
        /// Index of the item, counted from 0.
        item: usize,
    },
    /// The model cannot take an item.
    #[error("item {item}: {source}")]
    Item {
        /// Index of the item, counted from 0.
        item: usize,
        /// Reason why the model cannot take the item.
        source: PackError,
    },
    /// The reference log-probabilities of an item are NaN or infinite.
    #[error(
        "the reference log-probabilities of item {item} are not finite: look at the reference model's weights"
    )]
    ReferenceNotFinite {
        /// Index of the item, counted from 0.
        item: usize,
    },
}

impl From<DirectError> for LearnerError {
    fn from(error: DirectError) -> Self {
        match error {
            DirectError::Pair { pair, source, .. } => Self::Item { item: pair, source },
            other => Self::Direct(other),
        }
    }
}

impl LearnerError {
    /// Turns the error of a single item into the error of item `index` of a list.
    pub(crate) fn at(self, index: usize) -> Self {
        match self {
            Self::EmptyCompletion { .. } => Self::EmptyCompletion { item: index },
            Self::Item { source, .. } => Self::Item {
                item: index,
                source,
            },
            Self::ReferenceNotFinite { .. } => Self::ReferenceNotFinite { item: index },
            other => other,
        }
    }
}
