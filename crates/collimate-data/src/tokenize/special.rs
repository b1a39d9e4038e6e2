//! The special tokens of sequences, and the rules for answers.

use serde::{Deserialize, Serialize};

/// The special tokens that sequences are built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialTokenIds {
    /// Begins a sequence (`[CLS]` in a BERT vocabulary); not every model has one.
    pub bos: Option<u32>,
    /// Ends a sequence (`[SEP]` in a BERT vocabulary).
    pub eos: u32,
    /// Fills rows where something else than this library pads; a tokenizer takes `eos` here as none.
    pub pad: Option<u32>,
}

/// Rule for the answers that end with EOS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerEnd {
    /// Whole answers: one that was cut has not ended, and a language model that reads EOS there
    /// learns to stop in the middle of a sentence.
    #[default]
    WholeAnswers,
    /// Every answer, a cut one too: a reward model reads the score there.
    EveryAnswer,
}

/// Treatment of a prompt that has other tokens where an answer follows than it has alone.
///
/// A model answers the prompt as it is alone. A token over the border of prompt and answer, and a
/// template that rewrites earlier turns, make the sequence of training another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnRewrittenPrompt {
    /// The prompt keeps the tokens that it has alone, and the row is counted in the report.
    #[default]
    Count,
    /// The row is an error that shows the beginning of the prompt.
    Fail,
}
