//! Errors of reinforcement learning from a reward.

use collimate_core::{GenerateError, OptionError, ScoreError};
use collimate_data::DataError;
use collimate_files::FileError;
use collimate_nn::PackError;
use collimate_train::TrainError;
use thiserror::Error;

/// Reason why training stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PpoError {
    /// An option out of range.
    #[error(transparent)]
    Config(#[from] OptionError),
    /// A prompt that cannot be tokenised.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A prompt has no token, so a response has nothing to start from.
    #[error("prompt {prompt} has no token: write a text, or use a tokenizer with BOS")]
    EmptyPrompt {
        /// Index of the prompt.
        prompt: usize,
    },
    /// There are no prompts.
    #[error("there are no prompts to answer: give at least one prompt")]
    NoPrompts,
    /// A prompt that leaves no room for a response.
    #[error(
        "prompt {prompt} has {tokens} tokens and a response up to {response}, but {model} takes \
         {context} in all: shorten the prompts or lower max_new_tokens"
    )]
    TooLong {
        /// Index of the prompt.
        prompt: usize,
        /// Number of tokens in the prompt.
        tokens: usize,
        /// Largest number of tokens in a response.
        response: usize,
        /// Name of the model: the policy, the critic or the reference.
        model: &'static str,
        /// Context length of the model.
        context: usize,
    },
    /// The critic or the reference reads other token ids than the policy writes.
    #[error(
        "{model} knows {other} token ids, but the policy {policy}: both need one tokenizer; start \
         from a model that was made from the policy (or, in place of a critic, use a value head, \
         rloo or grpo)"
    )]
    Vocabulary {
        /// Name of the model: the critic or the reference.
        model: &'static str,
        /// Number of token ids of this model.
        other: usize,
        /// Number of token ids of the policy.
        policy: usize,
    },
    /// The width of a value head differs from the width of the hidden states that it reads.
    #[error("the value head reads {head} numbers, but the hidden states have {hidden}")]
    HeadWidth {
        /// Width of the head.
        head: usize,
        /// Width of the hidden states.
        hidden: usize,
    },
    /// The parts of the model do not fit the estimator.
    #[error("the estimator {estimator} {needs}")]
    Parts {
        /// Name of the estimator.
        estimator: &'static str,
        /// Parts that the estimator needs or does not use.
        needs: &'static str,
    },
    /// The reference is the policy with its adapters off, but the policy has no adapters.
    #[error(
        "the reference is the policy with its adapters off, but the policy has none: give a reference model, or attach adapters first"
    )]
    NoAdapters,
    /// Generation of responses failed.
    #[error("rollout {rollout}: {source}")]
    Generate {
        /// Number of the rollout, from 1.
        rollout: u64,
        /// The error of generation.
        source: GenerateError,
    },
    /// The reward failed.
    #[error("rollout {rollout}: {source}")]
    Score {
        /// Number of the rollout, from 1.
        rollout: u64,
        /// The error of the reward.
        source: ScoreError,
    },
    /// Every response of a rollout is empty.
    #[error(
        "rollout {rollout}: every response is empty: the policy ends at once, so there is nothing \
         to learn from; look at the reward of an empty text, start from a fine-tuned policy, or \
         raise the KL coefficient"
    )]
    AllEmpty {
        /// Number of the rollout, from 1.
        rollout: u64,
    },
    /// The model cannot process a response.
    #[error("rollout {rollout}: {source}")]
    Pack {
        /// Number of the rollout, from 1.
        rollout: u64,
        /// The error in the response.
        source: PackError,
    },
    /// A number of a rollout is NaN or infinite.
    #[error(
        "rollout {rollout}: {what} of response {response} are not finite: start again in another \
         folder with a lower learning_rate"
    )]
    NotFinite {
        /// Number of the rollout, from 1.
        rollout: u64,
        /// Name of the numbers.
        what: &'static str,
        /// Index of the response.
        response: usize,
    },
    /// An error of optimisation, checkpoints or metrics, or an interrupt.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl From<FileError> for PpoError {
    fn from(error: FileError) -> Self {
        Self::Train(error.into())
    }
}

impl PpoError {
    /// Returns true if training was interrupted and can be resumed.
    pub fn is_interrupt(&self) -> bool {
        matches!(self, Self::Train(TrainError::Interrupted { .. }))
    }
}
