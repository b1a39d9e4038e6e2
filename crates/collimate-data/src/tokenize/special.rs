//! Special tokens of sequences, and rules for answers.

use serde::{Deserialize, Serialize};

/// The special tokens of sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialTokenIds {
    /// Token that begins a sequence (`[CLS]` in a BERT vocabulary). Not every model has one.
    pub bos: Option<u32>,
    /// Token that ends a sequence (`[SEP]` in a BERT vocabulary).
    pub eos: u32,
    /// Token that fills rows, for programs other than this library that pad. A pad token equal to
    /// `eos` counts as none.
    pub pad: Option<u32>,
}

/// Rule that decides which answers end with EOS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerEnd {
    /// Only complete answers end with EOS. A cut answer has not ended. A language model that reads
    /// EOS there would learn to stop in the middle of a sentence.
    #[default]
    WholeAnswers,
    /// Every answer ends with EOS, a cut one too. A reward model reads the score at EOS.
    EveryAnswer,
}

/// Treatment of a prompt that has other tokens when an answer follows than alone.
///
/// A model answers the prompt as encoded alone. A token over the border of prompt and answer, or a
/// template that rewrites earlier turns, would give training another sequence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnRewrittenPrompt {
    /// The prompt keeps the tokens that it has alone, and the report counts the row.
    #[default]
    Count,
    /// The row is an error that shows the beginning of the prompt.
    Fail,
}
