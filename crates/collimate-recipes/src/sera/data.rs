//! Data on which a run learns and is measured.

use collimate_core::{PreferencePair, Prompt};
use collimate_data::SftExample;

use crate::AnswerScorer;

/// Pairs and prompts of a run.
#[derive(Debug, Clone, Default)]
pub struct SeraData<'a> {
    /// Pairs to learn from.
    pub train: Vec<PreferencePair>,
    /// True for each training pair whose label was swapped, if known; used in the report only.
    pub noisy: Option<Vec<bool>>,
    /// Pairs on which the implicit reward is measured after each iteration.
    pub validation: Vec<PreferencePair>,
    /// Good answers on which the alignment tax is measured.
    pub held_out: Vec<SftExample>,
    /// Prompts that the final policies answer.
    pub prompts: Vec<Prompt>,
    /// Tokens that end an answer, in addition to the tokenizer's EOS (`eos_token_ids` of
    /// `collimate-lm` reads them from a model's folder).
    pub eos: Vec<u32>,
    /// Scorer of the final policies' answers; it needs `prompts`. Without a judge, no answers are
    /// written.
    pub judge: Option<AnswerScorer<'a>>,
}
