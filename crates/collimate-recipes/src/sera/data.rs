//! What a run learns from and is measured on.

use collimate_core::{PreferencePair, Prompt};
use collimate_data::SftExample;

use crate::AnswerScorer;

/// Pairs and prompts of a run.
#[derive(Debug, Clone, Default)]
pub struct SeraData<'a> {
    /// Pairs to learn from.
    pub train: Vec<PreferencePair>,
    /// Which of them have their label swapped, where that is known: only for the report.
    pub noisy: Option<Vec<bool>>,
    /// Pairs to measure the implicit reward on after each iteration.
    pub validation: Vec<PreferencePair>,
    /// Good answers to measure the alignment tax on: how much less likely they become.
    pub held_out: Vec<SftExample>,
    /// Prompts that the final policies answer.
    pub prompts: Vec<Prompt>,
    /// Tokens that end an answer, beside the tokenizer's EOS (`eos_token_ids` of `collimate-lm`
    /// reads them from a model's folder).
    pub eos: Vec<u32>,
    /// Who scores those answers; without it, or without prompts, answers are not looked at.
    pub judge: Option<AnswerScorer<'a>>,
}
