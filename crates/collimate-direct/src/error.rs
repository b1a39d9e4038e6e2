//! What can be wrong with direct alignment.

use std::path::PathBuf;

use collimate_losses::LossError;
use collimate_nn::PackError;
use collimate_train::TrainError;
use thiserror::Error;

/// Why direct alignment is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DirectError {
    /// Options of the loss, or what it is given.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A loss that compares with a reference was given none.
    #[error(
        "{loss} compares with a reference model: give one, its log-probabilities, or a policy with adapters"
    )]
    NoReference {
        /// The loss.
        loss: &'static str,
    },
    /// The reference is the policy without adapters, but it has none.
    #[error(
        "the reference is the policy with its adapters off, but the policy has no adapters: attach them (`with_lora`) or give a reference model"
    )]
    NoAdapters,
    /// Reference log-probabilities of other data.
    #[error(
        "{given} reference log-probabilities were given for {pairs} {part} pairs: compute them from the same pairs"
    )]
    ReferenceCount {
        /// Training or held-out.
        part: &'static str,
        /// How many were given.
        given: usize,
        /// How many pairs there are.
        pairs: usize,
    },
    /// A reference log-probability is NaN or infinite.
    #[error(
        "the reference log-probabilities of {part} pair {pair} are not finite: look at the reference model's weights"
    )]
    ReferenceNotFinite {
        /// Training or held-out.
        part: &'static str,
        /// Which pair.
        pair: usize,
    },
    /// A part of a step was asked for that never began.
    #[error(
        "{loss} looks across the pairs of an optimiser step: call begin_step with all examples of the step before forward"
    )]
    OtherStep {
        /// The loss.
        loss: &'static str,
    },
    /// A loss over the batch's other completions cannot use log-probabilities that were computed before.
    #[error(
        "{loss} needs the reference's log-probabilities of completions under other prompts: give a reference model, not a file"
    )]
    LiveReference {
        /// The loss.
        loss: &'static str,
    },
    /// Stored reference log-probabilities where pairs come in no fixed order.
    #[error(
        "stored reference log-probabilities belong to pairs by position, which shuffled batches do not have: give each pair its own"
    )]
    PositionalReference,
    /// A completion has no token that anything predicts.
    #[error("{part} pair {pair} has a completion without tokens: drop it")]
    EmptyCompletion {
        /// Training or held-out.
        part: &'static str,
        /// Which pair.
        pair: usize,
    },
    /// A pair that the model cannot take.
    #[error("{part} pair {pair}: {source}")]
    Pair {
        /// Training or held-out.
        part: &'static str,
        /// Which pair.
        pair: usize,
        /// What is wrong with it.
        source: PackError,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file of reference log-probabilities does not belong to this model and data, or is broken.
    #[error("{}: {reason}", path.display())]
    ReferenceFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl DirectError {
    /// A pack error whose sequences are those of pairs.
    pub(crate) fn pair(part: &'static str, source: PackError) -> Self {
        Self::Pair {
            part,
            pair: source.sequence() / 2,
            source,
        }
    }
}

impl From<DirectError> for TrainError {
    fn from(error: DirectError) -> Self {
        Self::objective(error)
    }
}
