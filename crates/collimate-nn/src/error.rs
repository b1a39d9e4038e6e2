//! Errors of configurations, batches and model folders.

use std::path::PathBuf;

use thiserror::Error;

/// Why a model cannot take a pack. Sequences count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PackError {
    /// A sequence has no token.
    #[error("sequence {sequence} has no token: drop it")]
    Empty {
        /// The sequence.
        sequence: usize,
    },
    /// A sequence is longer than the model's context.
    #[error(
        "sequence {sequence} has {length} tokens, the model takes at most {context}: truncate it"
    )]
    Length {
        /// The sequence.
        sequence: usize,
        /// Its tokens, the shared prompt's included.
        length: usize,
        /// The model's context.
        context: usize,
    },
    /// A token id that the model has no vector for.
    #[error(
        "sequence {sequence} has token id {id}, the model knows ids below {vocab}: \
         use the tokenizer that belongs to the model"
    )]
    Token {
        /// The first sequence with the token.
        sequence: usize,
        /// The id.
        id: u32,
        /// Number of token ids that the model knows.
        vocab: usize,
    },
}

impl PackError {
    /// The error for a list of which the pack is a part, `earlier` sequences into it.
    #[must_use]
    pub fn after(mut self, earlier: usize) -> Self {
        match &mut self {
            Self::Empty { sequence }
            | Self::Length { sequence, .. }
            | Self::Token { sequence, .. } => *sequence += earlier,
        }
        self
    }

    /// The sequence at fault.
    pub fn sequence(&self) -> usize {
        match *self {
            Self::Empty { sequence }
            | Self::Length { sequence, .. }
            | Self::Token { sequence, .. } => sequence,
        }
    }
}

/// Why a model folder cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file cannot be read.
    #[error(
        "cannot read {}: {source}: name a folder with config.json and model.safetensors",
        path.display()
    )]
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
    #[error(
        "{}: tensor {name} is missing: take config.json and weights from one checkpoint",
        path.display()
    )]
    MissingTensor {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error(
        "{}: tensor {name} has shape {found:?}, config.json asks for {expected:?}: \
         take both from one checkpoint",
        path.display()
    )]
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
    /// A tensor has a type that is not read, as quantised weights have.
    #[error(
        "{}: tensor {name} is {found}: F32, F64, F16 and BF16 are read: \
         take weights that are not quantised",
        path.display()
    )]
    Dtype {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The type, as safetensors names types.
        found: String,
    },
    /// A tensor holds a value that is no number in f32.
    #[error(
        "{}: tensor {name} holds {value} at index {index}: the weights are damaged, or a training \
         that diverged wrote them: take an earlier checkpoint",
        path.display()
    )]
    NotFinite {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Position of the first such value, in the order of the file.
        index: usize,
        /// The value: NaN or an infinity.
        value: f32,
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
