//! What can go wrong between here and a server.

use collimate_core::{GenerateError, OptionError, ScoreError};
use thiserror::Error;

/// Why a configuration, a prompt or a request failed. No variant holds the server's key.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// An option outside what is allowed.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The key is missing, or is none.
    #[error("{message}")]
    Key {
        /// What is wrong and what to do.
        message: String,
    },
    /// The prompt cannot be sent as the options say. Nothing was asked.
    #[error("{message}")]
    Prompt {
        /// What is wrong and what to do.
        message: String,
    },
    /// The server answered with a status that is no success.
    #[error("{url} answered {status} after {}: {advice}{}", times(*attempts), said(message))]
    Status {
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How often it was asked.
        attempts: usize,
        /// What to do.
        advice: String,
        /// The first 300 characters of what the server says.
        message: String,
    },
    /// No whole answer came: no connection, a reset, a time-out.
    #[error("{url} gave no answer after {}: {message}", times(*attempts))]
    Connection {
        /// Where.
        url: String,
        /// How often it was asked.
        attempts: usize,
        /// What happened last.
        message: String,
    },
    /// An answer came that cannot be used.
    #[error("{url} gave an answer that cannot be used, after {}: {message}", times(*attempts))]
    Answer {
        /// Where.
        url: String,
        /// How often it was asked.
        attempts: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The server does not answer this prompt: its content filter ended the answer, or the answer is
    /// an error message. Other prompts may have answers.
    #[error("{url} refuses the prompt: {message}")]
    Refused {
        /// Where.
        url: String,
        /// The message of the server.
        message: String,
    },
    /// A score that is not a finite number.
    #[error("the score is {value}, not a finite number")]
    NotFinite {
        /// The score.
        value: f32,
    },
    /// The machine here cannot send requests.
    #[error("no request can be sent: {message}")]
    Local {
        /// What failed.
        message: String,
    },
    /// Somebody asked to stop.
    #[error("stopped before an answer came")]
    Stopped,
}

impl RemoteError {
    /// True if the server refuses this one prompt or item, so that others may still have answers:
    /// [`RemoteError::Refused`], the statuses 400, 413 and 422, and a 500 that stays after all
    /// attempts. Every other error concerns whatever is asked.
    ///
    /// # Examples
    /// ```
    /// use collimate_remote::RemoteError;
    /// let url = "http://127.0.0.1:8000/v1/chat/completions".to_owned();
    /// let message = "content_filter".to_owned();
    /// assert!(RemoteError::Refused { url, message }.is_refusal());
    /// assert!(!RemoteError::Stopped.is_refusal());
    /// ```
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Status { status, .. } => matches!(status, 400 | 413 | 422 | 500),
            _ => false,
        }
    }

    /// As the error of prompt `index`.
    pub(crate) fn generation(self, index: usize) -> GenerateError {
        match self {
            Self::Stopped => GenerateError::Interrupted,
            other => GenerateError::Prompt {
                index,
                message: other.to_string(),
            },
        }
    }

    /// As the error of item `index`.
    pub(crate) fn scoring(self, index: usize) -> ScoreError {
        match self {
            Self::NotFinite { value } => ScoreError::NotFinite { index, value },
            other => ScoreError::Other(format!("item {index}: {other}")),
        }
    }
}

fn times(attempts: usize) -> String {
    match attempts {
        1 => "1 attempt".to_owned(),
        many => format!("{many} attempts"),
    }
}

fn said(message: &str) -> String {
    match message {
        "" => String::new(),
        text => format!("; the server says: {text}"),
    }
}
