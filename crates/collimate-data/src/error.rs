//! Errors of reading, tokenising, splitting and pooling data.

use std::path::PathBuf;

use thiserror::Error;

/// Reason why data cannot be read, tokenised, split or pooled.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The path does not exist.
    #[error("{path}: no such file: check the path")]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// The file has no rows.
    #[error("{path}: the file is empty: a data file has at least one row")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The operating system or the decompressor failed while reading or writing.
    #[error("{path}: {what}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The attempted operation and a hint.
        what: String,
        /// The underlying error.
        source: std::io::Error,
    },
    /// A row breaks the rules of its format.
    #[error("{path}:{line}: {what}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Line of the row, from 1.
        line: usize,
        /// The problem with the row and a hint.
        what: String,
    },
    /// A row of a Parquet file breaks the rules of its format.
    #[error("{path}: row group {group}, row {row}: {what}")]
    ParquetRow {
        /// The file.
        path: PathBuf,
        /// Row group, from 1.
        group: usize,
        /// Row within the row group, from 1.
        row: usize,
        /// The problem with the row and a hint.
        what: String,
    },
    /// A Parquet file is damaged, or has a property that is not supported.
    #[error("{path}: {what}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The problem, with row group and column if it lies there, and a hint.
        what: String,
    },
    /// The format of the file cannot be recognised, or this call does not read it.
    #[error("{path}: {what}")]
    Format {
        /// The file.
        path: PathBuf,
        /// The content found and a hint.
        what: String,
    },
    /// A folder has no usable tokenizer.
    #[error("{path}: {what}")]
    Tokenizer {
        /// The folder or file.
        path: PathBuf,
        /// The missing part and a hint.
        what: String,
    },
    /// A folder or file is not a whole token store, or a store cannot be built there.
    #[error("{path}: {what}")]
    Store {
        /// The folder or file.
        path: PathBuf,
        /// The problem and a hint.
        what: String,
    },
    /// A GGUF file cannot be read, or has a tokenizer that is not known.
    #[error(transparent)]
    Gguf(collimate_gguf::GgufError),
    /// The tokenizer rejects a text or a token.
    #[error("tokenisation failed: {0}")]
    Tokenize(String),
    /// The tokenizer's special tokens cannot be used for training.
    #[error("{0}")]
    SpecialTokens(String),
    /// A conversation cannot be rendered.
    #[error("chat template: {0}")]
    ChatTemplate(String),
    /// A prompt is tokenised differently when its answer follows, and
    /// [`OnRewrittenPrompt::Fail`](crate::OnRewrittenPrompt::Fail) is set.
    #[error(
        "the row with the prompt {prompt:?}: {what}: change the row, or count such rows (library: \
         `OnRewrittenPrompt::Count`; programs: `--on-rewritten-prompt count`)"
    )]
    RewrittenPrompt {
        /// Beginning of the prompt as the model reads it.
        prompt: String,
        /// The reason.
        what: &'static str,
    },
    /// An argument is outside its range.
    #[error("{name} is {value}: {rule}")]
    Argument {
        /// The argument.
        name: &'static str,
        /// The value of the argument.
        value: String,
        /// The allowed range and a hint.
        rule: String,
    },
    /// There are fewer groups of rows than parts to split them into.
    #[error(
        "cannot split {} of {} into {}: each part needs at least one prompt of its own (rows \
         without a prompt count as one prompt if they share a text): give more data",
        count(*rows, "row"), count(*prompts, "prompt"), count(*parts, "part")
    )]
    TooFewGroups {
        /// Number of rows.
        rows: usize,
        /// Number of groups: different prompts, and rows without a prompt grouped by shared texts.
        prompts: usize,
        /// Number of parts requested.
        parts: usize,
    },
    /// A selection does not fit the pool.
    #[error("selection index {index}: {what}")]
    Selection {
        /// The offending index.
        index: usize,
        /// The problem with the index.
        what: String,
    },
}

impl DataError {
    pub(crate) fn argument(
        name: &'static str,
        value: impl ToString,
        rule: impl Into<String>,
    ) -> Self {
        Self::Argument {
            name,
            value: value.to_string(),
            rule: rule.into(),
        }
    }
}

fn count(number: usize, name: &str) -> String {
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}
