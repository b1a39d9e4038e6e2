//! What can go wrong in reinforcement learning from a reward.

use collimate_core::{GenerateError, OptionError, ScoreError};
use collimate_data::DataError;
use collimate_files::FileError;
use collimate_nn::PackError;
use collimate_train::TrainError;
use thiserror::Error;

/// Why training stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PpoError {
    /// An option out of range.
    #[error(transparent)]
    Config(#[from] OptionError),
    /// A prompt that cannot be tokenised.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A prompt without a token: its response would have nothing to begin from.
    #[error("prompt {prompt} has no token: write a text, or use a tokenizer with BOS")]
    EmptyPrompt {
        /// Which prompt.
        prompt: usize,
    },
    /// There are no prompts.
    #[error("there are no prompts to answer: give at least one")]
    NoPrompts,
    /// A prompt that leaves no room for a response.
    #[error(
        "prompt {prompt} has {tokens} tokens and a response up to {response}: {model} takes \
         {context} in all: shorten the prompts or lower max_new_tokens"
    )]
    TooLong {
        /// Which prompt.
        prompt: usize,
        /// Its tokens.
        tokens: usize,
        /// The longest response.
        response: usize,
        /// The policy, the critic or the reference.
        model: &'static str,
        /// Its context length.
        context: usize,
    },
    /// The critic or the reference reads other token ids than the policy writes.
    #[error(
        "{model} knows {other} token ids, the policy {policy}: both need one tokenizer; start from \
         a model that was made from the policy (or, in place of a critic, use a value head, rloo \
         or grpo)"
    )]
    Vocabulary {
        /// The critic or the reference.
        model: &'static str,
        /// Its token ids.
        other: usize,
        /// Of the policy.
        policy: usize,
    },
    /// A value head of another width than the hidden states that it reads.
    #[error("the value head reads {head} numbers, the hidden states have {hidden}")]
    HeadWidth {
        /// Width of the head.
        head: usize,
        /// Width of the hidden states.
        hidden: usize,
    },
    /// The estimator and the model's parts do not fit.
    #[error("the estimator {estimator} {needs}")]
    Parts {
        /// The estimator.
        estimator: &'static str,
        /// What it needs, or does not use.
        needs: &'static str,
    },
    /// The reference is the policy without adapters, and there are none.
    #[error(
        "the reference is the policy with its adapters off, but the policy has none: give a reference model, or attach adapters first"
    )]
    NoAdapters,
    /// Generation of responses.
    #[error("rollout {rollout}: {source}")]
    Generate {
        /// Which rollout, from 1.
        rollout: u64,
        /// What went wrong.
        source: GenerateError,
    },
    /// The reward.
    #[error("rollout {rollout}: {source}")]
    Score {
        /// Which rollout, from 1.
        rollout: u64,
        /// What went wrong.
        source: ScoreError,
    },
    /// Every response of a rollout is empty.
    #[error(
        "rollout {rollout}: every response is empty: the policy ends at once, so there is nothing \
         to learn from; look at the reward of an empty text, start from a fine-tuned policy, or \
         raise the KL coefficient"
    )]
    AllEmpty {
        /// Which rollout, from 1.
        rollout: u64,
    },
    /// A response that a model cannot take.
    #[error("rollout {rollout}: {source}")]
    Pack {
        /// Which rollout, from 1.
        rollout: u64,
        /// What is wrong with it.
        source: PackError,
    },
    /// A number of a rollout that is none.
    #[error(
        "rollout {rollout}: {what} of response {response} are not finite: start again in another \
         folder with a lower learning_rate"
    )]
    NotFinite {
        /// Which rollout, from 1.
        rollout: u64,
        /// Which numbers.
        what: &'static str,
        /// Which response.
        response: usize,
    },
    /// Optimisation, checkpoints, metrics, an interrupt.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl From<FileError> for PpoError {
    fn from(error: FileError) -> Self {
        Self::Train(error.into())
    }
}

impl PpoError {
    /// True if training was interrupted and can go on.
    pub fn is_interrupt(&self) -> bool {
        matches!(self, Self::Train(TrainError::Interrupted { .. }))
    }
}
