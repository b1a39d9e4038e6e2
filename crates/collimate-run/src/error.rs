//! Errors of run folders, reports and plots.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use collimate_files::FileError;
use collimate_train::TrainError;
use thiserror::Error;

/// An error of a run folder, a report or a plot.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Path of the file or folder.
        path: PathBuf,
        /// Error of the operating system.
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
    /// The configuration differs from that of the run to continue.
    #[error("{}: {key} was {before}, now it is {now}: use the old value or another run folder", .path.display())]
    Changed {
        /// File with the earlier value.
        path: PathBuf,
        /// First key that differs.
        key: String,
        /// Earlier value.
        before: String,
        /// Present value.
        now: String,
    },
    /// A stage of a run was started with other inputs.
    #[error("stage {stage} of {} was started with other inputs: redo it or use another run folder", .run.display())]
    StageChanged {
        /// Name of the stage.
        stage: String,
        /// Path of the run folder.
        run: PathBuf,
    },
    /// Another process holds the run folder open.
    #[error("{} is in use by another process: wait for it or use another run folder", .path.display())]
    Locked {
        /// Path of the run folder.
        path: PathBuf,
    },
    /// A plot could not be drawn.
    #[error("plot {name}: {reason}")]
    Plot {
        /// Title of the plot.
        name: String,
        /// Description of the fault.
        reason: String,
    },
    /// The template of a report has a mistake, or reads an absent value.
    #[error("report template {place}: {reason}")]
    Template {
        /// Name and line of the template.
        place: String,
        /// Description of the fault.
        reason: String,
    },
    /// An error of `collimate-train`, such as an invalid stage name or a fault of the metrics file.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl From<FileError> for RunError {
    fn from(error: FileError) -> Self {
        let FileError { path, source } = error;
        Self::Io { path, source }
    }
}

impl RunError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// Returns the error with the place of the mistake, which may be in an included template.
    pub(crate) fn template(name: &str, error: &minijinja::Error) -> Self {
        let mut innermost = error;
        while let Some(inner) = innermost.source().and_then(|inner| inner.downcast_ref()) {
            innermost = inner;
        }
        let kind = innermost.kind();
        let detail = innermost.detail().map(|detail| format!(": {detail}"));
        let file = innermost.name().unwrap_or(name);
        Self::Template {
            place: match innermost.line() {
                Some(line) => format!("{file}, line {line}"),
                None => file.to_owned(),
            },
            reason: format!("{kind}{}", detail.unwrap_or_default()),
        }
    }

    pub(crate) fn format(path: &Path, reason: impl ToString) -> Self {
        Self::Format {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
