//! Errors of configurations and model folders.

use std::path::PathBuf;

use thiserror::Error;

/// A configuration value outside what is allowed.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{name} is {value}: {allowed}")]
pub struct ConfigError {
    /// The option.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

impl ConfigError {
    /// An error for option `name` with `value`; `allowed` says what would be right.
    pub fn new(name: &str, value: impl ToString, allowed: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_string(),
            allowed: allowed.to_owned(),
        }
    }
}

/// Why a model folder cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file holds something else than expected.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// An architecture or option that is not implemented.
    #[error("{}: {what} is not supported; supported: {supported}", path.display())]
    Unsupported {
        /// The file that asks for it.
        path: PathBuf,
        /// What it asks for.
        what: String,
        /// What would work.
        supported: String,
    },
    /// A tensor is missing.
    #[error("{}: tensor {name} is missing", path.display())]
    MissingTensor {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{}: tensor {name} has shape {found:?}, config.json asks for {expected:?}", path.display())]
    Shape {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The expected shape.
        expected: Vec<usize>,
    },
}

/// Why a model folder cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SaveError {
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The weights cannot be serialised.
    #[error("cannot serialise {}: {message}", path.display())]
    Serialize {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}
