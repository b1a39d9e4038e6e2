//! What can go wrong in a sweep, the cells' own failures aside: those are rows.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a sweep could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A plan that cannot be meant.
    #[error("plan {plan}: {reason}")]
    Plan {
        /// The plan's file or name.
        plan: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A plan uses a variable that has no value.
    #[error("${{{name}}} has no value: give --set {name}=VALUE")]
    Variable {
        /// The variable.
        name: String,
    },
    /// `--set` without a name or a value.
    #[error("--set {text}: must be NAME=VALUE, with a name of letters, digits and _")]
    Setting {
        /// What was given.
        text: String,
    },
    /// The program is not built.
    #[error("program {name} is not in {}: build it (cargo build --example {name}) or give --bin-dir", folder.display())]
    Program {
        /// The program.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A line of a results or selections file is not a row of it.
    #[error("{}:{line}: not a row of such a file: {reason}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// `--only` fits no cell.
    #[error("--only {pattern}: fits none of the plan's {cells} cells: see --list")]
    NoCell {
        /// The pattern.
        pattern: String,
        /// Cells of the plan.
        cells: usize,
    },
    /// Handling Ctrl-C.
    #[error(transparent)]
    Train(#[from] collimate::train::TrainError),
    /// Hashing the program.
    #[error(transparent)]
    Run(#[from] collimate::run::RunError),
    /// Writing a file.
    #[error(transparent)]
    File(#[from] collimate::files::FileError),
    /// A mean of results that has no value.
    #[error(transparent)]
    Eval(#[from] collimate::eval::EvalError),
}

impl BenchError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn plan(plan: &str, reason: impl Into<String>) -> Self {
        Self::Plan {
            plan: plan.to_owned(),
            reason: reason.into(),
        }
    }
}
