//! What a run learns from and is measured on.

use collimate_core::{PreferencePair, Prompt, Scorer};
use collimate_data::SftExample;

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
    pub judge: Option<Judge<'a>>,
}

/// Who scores the final policies' answers.
#[derive(Clone)]
pub struct Judge<'a> {
    /// Its name in the report: gold reward, a reward model.
    pub name: String,
    /// The scorer.
    pub scorer: &'a dyn Scorer,
}

impl std::fmt::Debug for Judge<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
