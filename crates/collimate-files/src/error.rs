//! The error of this crate: the system refuses a file operation.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A file or folder could not be read or written.
#[derive(Debug, Error)]
#[error("{}: {source}", .path.display())]
pub struct FileError {
    /// Path of the file or folder.
    pub path: PathBuf,
    /// Error of the system.
    pub source: io::Error,
}

impl FileError {
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self {
            path: path.to_owned(),
            source,
        }
    }
}
