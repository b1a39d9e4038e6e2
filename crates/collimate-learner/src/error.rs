//! What can be wrong before a Learner starts.

use collimate_direct::DirectError;
use collimate_losses::LossError;
use collimate_nn::PackError;
use thiserror::Error;

/// Why a task, a model or a data set is refused, or a batch fails.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LearnerError {
    /// Options of a loss.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// Direct alignment refuses it.
    #[error(transparent)]
    Direct(DirectError),
    /// A completion has no token that anything predicts.
    #[error("item {item} has a completion without tokens: drop it")]
    EmptyCompletion {
        /// Which item, counted from 0.
        item: usize,
    },
    /// The model cannot take an item.
    #[error("item {item}: {source}")]
    Item {
        /// Which item, counted from 0.
        item: usize,
        /// What is wrong with it.
        source: PackError,
    },
    /// The reference log-probabilities of an item are NaN or infinite.
    #[error(
        "the reference log-probabilities of item {item} are not finite: look at the reference model's weights"
    )]
    ReferenceNotFinite {
        /// Which item, counted from 0.
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
    /// The error of one item, as the error of the list that the item is part of.
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
