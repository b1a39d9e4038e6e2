//! Reasons why a GGUF file, or a model for a GGUF file, is refused.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use collimate_files::FileError;
use thiserror::Error;

/// A GGUF file cannot be read or written, or has no counterpart in the other format.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The system refuses an operation on a file.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file does not begin with the four letters `GGUF`.
    #[error("{} is not a GGUF file: the file does not begin with GGUF", .path.display())]
    NotGguf {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file has a version other than 2 and 3.
    #[error(
        "{} has GGUF version {version}, but versions 2 and 3 are read: convert the model again with \
         a newer llama.cpp",
        .path.display()
    )]
    Version {
        /// Path of the file.
        path: PathBuf,
        /// The version in the file.
        version: u32,
    },
    /// The file was written for machines with the other byte order.
    #[error(
        "{} is a big-endian GGUF file, but only little-endian files are read: convert the model \
         again without --bigendian",
        .path.display()
    )]
    BigEndian {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file ends before the content that the file announces.
    #[error(
        "{} is truncated or damaged: {what} ends at byte {needs}, but the file has {has} bytes; \
         download or copy the file again",
        .path.display()
    )]
    Truncated {
        /// Path of the file.
        path: PathBuf,
        /// The content that is cut off.
        what: String,
        /// Number of bytes that the content needs.
        needs: u128,
        /// Number of bytes of the file.
        has: u64,
    },
    /// The file contradicts the format.
    #[error("{} is damaged: {message}; download or copy the file again", .path.display())]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// The contradiction.
        message: String,
    },
    /// A part of a split file is missing.
    #[error(
        "{} is one of {count} parts, but {} is not beside the file: put all parts into one folder",
        .path.display(),
        .part.display()
    )]
    MissingPart {
        /// Path of the part that was opened.
        path: PathBuf,
        /// Path of the missing part.
        part: PathBuf,
        /// Number of parts.
        count: u64,
    },
    /// The file is sound, but this crate does not read such a model.
    #[error("{}: {message}", .path.display())]
    Unsupported {
        /// Path of the file.
        path: PathBuf,
        /// The property that is not supported, and the supported ones.
        message: String,
    },
    /// A metadata value is missing, or does not fit the model.
    #[error("{}: the metadata value {key} {message}", .path.display())]
    Metadata {
        /// Path of the file.
        path: PathBuf,
        /// Key of the value.
        key: String,
        /// The problem with the value.
        message: String,
    },
    /// A tensor is missing, unknown, or of the wrong type or shape.
    #[error("{}: the tensor {tensor} {message}", .path.display())]
    Tensor {
        /// Path of the file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// The problem with the tensor.
        message: String,
    },
    /// A value of a tensor is not a finite number.
    #[error(
        "{}: the tensor {tensor} holds {value} at index {index}, but every value must be finite",
        .path.display()
    )]
    NotFinite {
        /// Path of the file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Index of the value in row-major order.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A file of a Hugging Face folder has a value that a GGUF file cannot express.
    #[error("{file}: {key} {message}")]
    Folder {
        /// Name of the file, such as `config.json`.
        file: &'static str,
        /// Name of the value.
        key: String,
        /// The problem with the value.
        message: String,
    },
    /// The list of metadata and tensors for a new file contradicts the format.
    #[error("{name} cannot be written to a GGUF file: {message}")]
    Plan {
        /// Name of the metadata value or of the tensor.
        name: String,
        /// The problem.
        message: String,
    },
    /// The caller could not deliver the values of a tensor.
    #[error("the values of {tensor} cannot be read: {source}")]
    Values {
        /// Name of the tensor.
        tensor: String,
        /// Error of the caller.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl GgufError {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn damaged(path: &Path, message: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn unsupported(path: &Path, message: impl Into<String>) -> Self {
        Self::Unsupported {
            path: path.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn metadata(path: &Path, key: &str, message: impl Into<String>) -> Self {
        Self::Metadata {
            path: path.to_owned(),
            key: key.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn tensor(path: &Path, tensor: &str, message: impl Into<String>) -> Self {
        Self::Tensor {
            path: path.to_owned(),
            tensor: tensor.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn folder(file: &'static str, key: &str, message: impl Into<String>) -> Self {
        Self::Folder {
            file,
            key: key.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn plan(name: &str, message: impl Into<String>) -> Self {
        Self::Plan {
            name: name.to_owned(),
            message: message.into(),
        }
    }
}
