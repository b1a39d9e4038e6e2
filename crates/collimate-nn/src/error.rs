//! Errors of configurations, batches and model folders.

use std::path::PathBuf;

use thiserror::Error;

/// Error for a pack that a model cannot take. Sequences count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PackError {
    /// A sequence has no token.
    #[error("sequence {sequence} has no token: drop the sequence")]
    Empty {
        /// The sequence.
        sequence: usize,
    },
    /// A sequence is longer than the model's context.
    #[error(
        "sequence {sequence} has {length} tokens, but the model takes at most {context}: truncate \
         the sequence"
    )]
    Length {
        /// The sequence.
        sequence: usize,
        /// Number of tokens, including the shared prompt.
        length: usize,
        /// The model's context.
        context: usize,
    },
    /// A sequence has a token id outside the model's vocabulary.
    #[error(
        "sequence {sequence} has token id {id}, but the model knows ids below {vocab}: use the \
         tokenizer that belongs to the model"
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
    /// Shifts the sequence number for a pack that starts `earlier` sequences into a longer list.
    #[must_use]
    pub fn after(mut self, earlier: usize) -> Self {
        match &mut self {
            Self::Empty { sequence }
            | Self::Length { sequence, .. }
            | Self::Token { sequence, .. } => *sequence += earlier,
        }
        self
    }

    /// Returns the index of the sequence at fault.
    pub fn sequence(&self) -> usize {
        match *self {
            Self::Empty { sequence }
            | Self::Length { sequence, .. }
            | Self::Token { sequence, .. } => sequence,
        }
    }
}

/// Error for a model folder that cannot be read.
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
    /// A file does not hold the expected content.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Description of the fault and of the remedy.
        message: String,
    },
    /// The folder asks for an architecture or option that is not implemented.
    #[error("{}: {what} is not supported; supported: {supported}", path.display())]
    Unsupported {
        /// The file that asks for it.
        path: PathBuf,
        /// Architecture or option asked for.
        what: String,
        /// Supported alternatives.
        supported: String,
    },
    /// A GGUF file cannot be read, or holds a model that is not implemented.
    #[error("{message}")]
    Gguf {
        /// The file.
        path: PathBuf,
        /// Description of the fault, which names the file, and of the remedy.
        message: String,
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
    /// A tensor does not have the shape that the configuration says.
    #[error(
        "{}: tensor {name} has shape {found:?}, but config.json asks for {expected:?}: take both \
         from one checkpoint",
        path.display()
    )]
    Shape {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Shape in the weight file.
        found: Vec<usize>,
        /// The expected shape.
        expected: Vec<usize>,
    },
    /// A tensor has a type that cannot be read, such as that of quantised weights.
    #[error(
        "{}: tensor {name} is {found}, but only F32, F64, F16 and BF16 can be read: take weights \
         that are not quantised",
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
    /// A tensor holds a value that is not finite in f32.
    #[error(
        "{}: tensor {name} holds {value} at index {index}: the weights are damaged or come from a \
         training that diverged: take an earlier checkpoint",
        path.display()
    )]
    NotFinite {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Index of the first such value, in the order of the file.
        index: usize,
        /// The value: NaN or an infinity.
        value: f32,
    },
}

/// Error for a model folder that cannot be written.
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
    /// The model has learned no adapter that could be written.
    #[error("cannot write an adapter into {}: no adapter was trained: save the weights instead", path.display())]
    NoAdapter {
        /// The folder.
        path: PathBuf,
    },
    /// The weights cannot be serialised.
    #[error("cannot serialise {}: {message}", path.display())]
    Serialize {
        /// The file.
        path: PathBuf,
        /// Message of the serialiser.
        message: String,
    },
}
