//! Errors of communication with a server.

use collimate_core::{GenerateError, OptionError, ScoreError};
use thiserror::Error;

/// Reason why a configuration, a prompt or a request failed. No variant contains the server's key.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// An option is outside its range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The key is missing or invalid.
    #[error("{message}")]
    Key {
        /// The problem with the key and a hint.
        message: String,
    },
    /// The prompt cannot be sent with these options. No request was sent.
    #[error("{message}")]
    Prompt {
        /// The problem with the prompt and a hint.
        message: String,
    },
    /// The server answered with a status other than success.
    #[error("{url} answered {status} after {}: {advice}{}", times(*attempts), said(message))]
    Status {
        /// URL of the request.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Number of attempts.
        attempts: usize,
        /// A hint.
        advice: String,
        /// The first 300 characters of the server's message.
        message: String,
    },
    /// No complete answer arrived: there was no connection, a reset, or a time-out.
    #[error("{url} gave no answer after {}: {message}", times(*attempts))]
    Connection {
        /// URL of the request.
        url: String,
        /// Number of attempts.
        attempts: usize,
        /// Description of the last failure.
        message: String,
    },
    /// The answer cannot be used.
    #[error("{url} gave an answer that cannot be used, after {}: {message}", times(*attempts))]
    Answer {
        /// URL of the request.
        url: String,
        /// Number of attempts.
        attempts: usize,
        /// The problem with the answer.
        message: String,
    },
    /// The server refuses this prompt: its content filter ended the answer, or the answer is an
    /// error message. Other prompts may still get answers.
    #[error("{url} refuses the prompt: {message}")]
    Refused {
        /// URL of the request.
        url: String,
        /// The message of the server.
        message: String,
    },
    /// A score is not a finite number.
    #[error("the score is {value}, not a finite number")]
    NotFinite {
        /// The score.
        value: f32,
    },
    /// This machine cannot send requests.
    #[error("no request can be sent: {message}")]
    Local {
        /// Description of the failure.
        message: String,
    },
    /// The caller asked to stop.
    #[error("stopped before an answer came")]
    Stopped,
}

impl RemoteError {
    /// Returns true if the server refuses only this prompt or item, so that others may still get
    /// answers.
    ///
    /// These are [`RemoteError::Refused`], the statuses 400, 413 and 422, and a 500 that remains
    /// after all attempts. Every other error concerns all prompts and items.
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

    /// Converts to the error of prompt `index`.
    pub(crate) fn generation(self, index: usize) -> GenerateError {
        match self {
            Self::Stopped => GenerateError::Interrupted,
            other => GenerateError::Prompt {
                index,
                message: other.to_string(),
            },
        }
    }

    /// Converts to the error of item `index`.
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
