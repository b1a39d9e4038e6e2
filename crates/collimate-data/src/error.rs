//! What can go wrong between a file and a batch of tokens.

use std::path::PathBuf;

use thiserror::Error;

/// Why data cannot be read, tokenised, split or pooled.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The path names nothing.
    #[error("{path}: no such file: check the path")]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// The file has no row.
    #[error("{path}: the file is empty: a data file has at least one row")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The operating system or the decompressor stopped the reading or writing.
    #[error("{path}: {what}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted, and what to do.
        what: String,
        /// The underlying error.
        source: std::io::Error,
    },
    /// A row that breaks its format's rules.
    #[error("{path}:{line}: {what}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Line of the row, from 1.
        line: usize,
        /// What is wrong and what to do.
        what: String,
    },
    /// Nothing in the file says what format it is, or it is one that this call does not read.
    #[error("{path}: {what}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What was seen and what to do.
        what: String,
    },
    /// A folder without a usable tokenizer.
    #[error("{path}: {what}")]
    Tokenizer {
        /// The folder or file.
        path: PathBuf,
        /// What is missing and what to do.
        what: String,
    },
    /// The tokenizer refuses a text or a token.
    #[error("tokenisation failed: {0}")]
    Tokenize(String),
    /// The tokenizer's special tokens cannot be used for training.
    #[error("{0}")]
    SpecialTokens(String),
    /// A conversation cannot be rendered.
    #[error("chat template: {0}")]
    ChatTemplate(String),
    /// A prompt that has other tokens where its answer follows, and
    /// [`OnRewrittenPrompt::Fail`](crate::OnRewrittenPrompt::Fail).
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
    /// An argument outside its range.
    #[error("{name} is {value}: {rule}")]
    Argument {
        /// The argument.
        name: &'static str,
        /// Its value.
        value: String,
        /// The allowed range and what to do.
        rule: String,
    },
    /// Fewer groups of rows than parts to split them into.
    #[error(
        "cannot split {} of {} into {}: each part needs at least one prompt of its own (rows without a prompt count as one where they share a text): give more data",
        count(*rows, "row"), count(*prompts, "prompt"), count(*parts, "part")
    )]
    TooFewGroups {
        /// How many rows there are.
        rows: usize,
        /// How many groups they make: different prompts, and rows without a prompt by shared texts.
        prompts: usize,
        /// How many parts were wanted.
        parts: usize,
    },
    /// A selection that does not fit the pool.
    #[error("selection index {index}: {what}")]
    Selection {
        /// The index in question.
        index: usize,
        /// What is wrong with it.
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
