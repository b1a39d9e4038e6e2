//! Errors of direct alignment.

use std::path::PathBuf;

use collimate_data::DataError;
use collimate_losses::LossError;
use collimate_nn::PackError;
use collimate_train::TrainError;
use thiserror::Error;

/// Reason why direct alignment is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DirectError {
    /// Options or inputs of the loss are refused.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A loss that compares with a reference was given no reference.
    #[error(
        "{loss} compares with a reference model: give a reference model, its log-probabilities, or \
         a policy with adapters"
    )]
    NoReference {
        /// Name of the loss.
        loss: &'static str,
    },
    /// The reference is the policy with its adapters off, but the policy has no adapters.
    #[error(
        "the reference is the policy with its adapters off, but the policy has no adapters: attach them (`with_lora`) or give a reference model"
    )]
    NoAdapters,
    /// The number of reference log-probabilities differs from the number of pairs.
    #[error(
        "{given} reference log-probabilities were given for {pairs} {part} pairs: compute them from the same pairs"
    )]
    ReferenceCount {
        /// Part of the data: training or held-out.
        part: &'static str,
        /// Number of log-probabilities given.
        given: usize,
        /// Number of pairs.
        pairs: usize,
    },
    /// A reference log-probability is NaN or infinite.
    #[error(
        "the reference log-probabilities of {part} pair {pair} are not finite: look at the reference model's weights"
    )]
    ReferenceNotFinite {
        /// Part of the data: training or held-out.
        part: &'static str,
        /// Index of the pair.
        pair: usize,
    },
    /// A pair has a margin or a weight, but the loss takes none.
    #[error(
        "training pair {pair} has a {what}, but {loss} takes none: remove the column, or choose another loss (dpo takes both)"
    )]
    Number {
        /// Name of the loss.
        loss: &'static str,
        /// The number: `margin` or `weight`.
        what: &'static str,
        /// Index of the pair.
        pair: usize,
    },
    /// The rows of a store cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A part of an optimiser step was passed to the loss, but the step was not begun with it.
    #[error(
        "{loss} looks across the pairs of an optimiser step: call begin_step with all examples of the step before forward"
    )]
    OtherStep {
        /// Name of the loss.
        loss: &'static str,
    },
    /// A loss that needs the batch's other completions cannot use stored reference
    /// log-probabilities.
    #[error(
        "{loss} needs the reference's log-probabilities of completions under other prompts: give a reference model, not a file"
    )]
    LiveReference {
        /// Name of the loss.
        loss: &'static str,
    },
    /// Stored reference log-probabilities were given, but the pairs come in no fixed order.
    #[error(
        "stored reference log-probabilities are matched with pairs by position, but the batches \
         are shuffled: store the log-probabilities in each pair"
    )]
    PositionalReference,
    /// A completion has no token that the model predicts.
    #[error("{part} pair {pair} has a completion without tokens: drop the pair")]
    EmptyCompletion {
        /// Part of the data, such as training or held-out.
        part: &'static str,
        /// Index of the pair.
        pair: usize,
    },
    /// The model cannot process a pair.
    #[error("{part} pair {pair}: {source}")]
    Pair {
        /// Part of the data, such as training or held-out.
        part: &'static str,
        /// Index of the pair.
        pair: usize,
        /// The error in the pair.
        source: PackError,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file of reference log-probabilities belongs to another model or other data, or is broken.
    #[error("{}: {reason}", path.display())]
    ReferenceFile {
        /// Path of the file.
        path: PathBuf,
        /// Reason, and advice for the user.
        reason: String,
    },
}

impl DirectError {
    /// Turns a pack error, which counts sequences, into the error of a pair.
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
