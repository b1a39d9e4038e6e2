//! What can go wrong with a run folder, a report or a plot.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use collimate_files::FileError;
use collimate_train::TrainError;
use thiserror::Error;

/// Why work on a run folder stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
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
    /// The configuration differs from that of the run that is resumed.
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
    /// A stage of a run was started with other inputs.
    #[error("stage {stage} of {} was started with other inputs: redo it or use another run folder", .run.display())]
    StageChanged {
        /// The stage.
        stage: String,
        /// The run folder.
        run: PathBuf,
    },
    /// Another process writes the run folder.
    #[error("{} is in use by another process: wait for it or use another run folder", .path.display())]
    Locked {
        /// The run folder.
        path: PathBuf,
    },
    /// A plot could not be drawn.
    #[error("plot {name}: {reason}")]
    Plot {
        /// The plot's title.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The template of a report has a mistake, or reads a value that is not there.
    #[error("report template {place}: {reason}")]
    Template {
        /// Name and line of the template.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The name of a stage, or the file of metrics.
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

    /// Names the place where the mistake is, in an included template too.
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
