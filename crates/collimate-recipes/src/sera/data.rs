//! What a run learns from and is measured on.

use collimate_core::{Completion, PreferencePair, Prompt, ScoreError, Scorer};
use collimate_data::SftExample;

use crate::RecipeError;

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

/// Who scores answers: those of the final policies and, to compare, those of the pairs. Only the
/// methods that say so learn from it.
#[derive(Clone)]
pub struct Judge<'a> {
    /// Its name in the report: gold reward, a reward model.
    pub name: String,
    /// The scorer.
    pub scorer: &'a dyn Scorer,
}

impl Judge<'_> {
    fn score(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f32>, RecipeError> {
        let scores = self.scorer.score(items)?;
        if scores.len() != items.len() {
            let (items, scores) = (items.len(), scores.len());
            return Err(ScoreError::Count { items, scores }.into());
        }
        Ok(scores)
    }

    /// One score per item.
    pub(crate) fn scores(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f64>, RecipeError> {
        Ok(self.score(items)?.into_iter().map(f64::from).collect())
    }

    /// The scores of each pair's answers, chosen and rejected.
    pub(crate) fn both(&self, pairs: &[PreferencePair]) -> Result<Vec<[f32; 2]>, RecipeError> {
        let sides = |pair: &PreferencePair| {
            [&pair.chosen, &pair.rejected].map(|side| (pair.prompt.clone(), side.clone()))
        };
        let items: Vec<(Prompt, Completion)> = pairs.iter().flat_map(sides).collect();
        let scores = self.score(&items)?;
        Ok(scores.chunks(2).map(|pair| [pair[0], pair[1]]).collect())
    }
}

impl std::fmt::Debug for Judge<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
