//! Errors of training.

use std::path::{Path, PathBuf};

use collimate_core::OptionError;
use collimate_files::FileError;
use thiserror::Error;

/// Reason for which training stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// An option has a value that is not allowed.
    #[error("{} is {} but must be {}", .0.path, .0.value, .0.allowed)]
    Config(#[from] OptionError),
    /// There are no examples, or the model has no trainable parameters.
    #[error("stage {stage} has no {what}")]
    Empty {
        /// The stage.
        stage: String,
        /// Missing item.
        what: &'static str,
    },
    /// The total weight of a step's examples is not a positive finite number, so their mean loss
    /// does not exist.
    #[error(
        "stage {stage}, step {step}: the total weight of the examples is {weight} but must be \
         above 0: remove examples without a completion"
    )]
    Weight {
        /// The stage.
        stage: String,
        /// The step, counted from 1.
        step: u64,
        /// Total weight of the examples.
        weight: f64,
    },
    /// A number is NaN or infinite. If it is the loss or the gradient norm, the weights were not
    /// updated in this step.
    #[error(
        "stage {stage}, step {step}: {what} is {value}; the last checkpoint is untouched: lower learning_rate or look at the data of this step"
    )]
    NotFinite {
        /// The stage.
        stage: String,
        /// The step, counted from 1.
        step: u64,
        /// Name of the number.
        what: &'static str,
        /// Value of the number.
        value: f64,
    },
    /// Ctrl-C, SIGTERM or SIGHUP arrived; training stopped after the current step.
    #[error("interrupted after step {step} of stage {stage}; {}", match .saved {
        Some(path) => format!("saved in {}: run the same command again to continue from there", path.display()),
        None => "nothing was saved: the stage will start from its beginning".to_owned(),
    })]
    Interrupted {
        /// The stage.
        stage: String,
        /// Number of steps done.
        step: u64,
        /// Folder of the checkpoint, if one was saved.
        saved: Option<PathBuf>,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Path of the file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file does not have the expected content.
    #[error("{}: {reason}", .path.display())]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// Description of the fault.
        reason: String,
    },
    /// The inputs of a resumed run differ from those it was started with.
    #[error("{}: {key} was {before}, now it is {now}: use the old value or another run folder", .path.display())]
    Changed {
        /// The file that holds the earlier value.
        path: PathBuf,
        /// The first key that differs.
        key: String,
        /// The earlier value.
        before: String,
        /// The present value.
        now: String,
    },
    /// The objective returned an error.
    #[error("{0}")]
    Objective(Box<dyn std::error::Error + Send + Sync>),
}

impl From<FileError> for TrainError {
    fn from(error: FileError) -> Self {
        let FileError { path, source } = error;
        Self::Io { path, source }
    }
}

impl TrainError {
    /// Wraps an error of an [`Objective`](crate::Objective), or a text.
    pub fn objective(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Objective(error.into())
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn format(path: &Path, reason: impl ToString) -> Self {
        Self::Format {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
