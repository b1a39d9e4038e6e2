//! What can go wrong in training.

use std::path::{Path, PathBuf};

use collimate_core::OptionError;
use collimate_files::FileError;
use thiserror::Error;

/// Why training stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// An option has a value that it cannot have.
    #[error("{} is {}, allowed: {}", .0.path, .0.value, .0.allowed)]
    Config(#[from] OptionError),
    /// There is nothing to train on, or with.
    #[error("stage {stage} has no {what}")]
    Empty {
        /// The stage.
        stage: String,
        /// What is missing.
        what: &'static str,
    },
    /// The examples of an optimiser step have no weight, so their mean loss does not exist.
    #[error(
        "stage {stage}, step {step}: the examples' total weight is {weight}, it must be above 0: leave out examples without a completion"
    )]
    Weight {
        /// The stage.
        stage: String,
        /// The step, counted from 1.
        step: u64,
        /// The weight.
        weight: f64,
    },
    /// A number of the step is NaN or infinite. The weights were not updated.
    #[error(
        "stage {stage}, step {step}: {what} is {value}; the last checkpoint is untouched: lower learning_rate or look at the data of this step"
    )]
    NotFinite {
        /// The stage.
        stage: String,
        /// The step, counted from 1.
        step: u64,
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// Ctrl-C, SIGTERM or SIGHUP, after the current step was finished.
    #[error("interrupted after step {step} of stage {stage}; {}", match .saved {
        Some(path) => format!("saved in {}: run the same command again to go on from there", path.display()),
        None => "nothing was saved: the stage starts anew".to_owned(),
    })]
    Interrupted {
        /// The stage.
        stage: String,
        /// Steps done.
        step: u64,
        /// The checkpoint, if there is one.
        saved: Option<PathBuf>,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file does not contain what it should.
    #[error("{}: {reason}", .path.display())]
    Format {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What is resumed differs from what was started.
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
    /// What the objective says.
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
