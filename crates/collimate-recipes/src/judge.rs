//! The scorer of answers.

use collimate_core::{Completion, PreferencePair, Prompt, ScoreError, Scorer};

use crate::RecipeError;

/// Scorer of answers. It scores the answers of the final policies and, for comparison, the answers
/// of the pairs. Only the methods that say so learn from these scores.
#[derive(Clone)]
pub struct AnswerScorer<'a> {
    /// Name of the scorer in the report, such as gold reward or a reward model.
    pub name: String,
    /// The scorer.
    pub scorer: &'a dyn Scorer,
}

impl<'a> AnswerScorer<'a> {
    /// A scorer with its name in the report.
    pub fn new(name: &str, scorer: &'a dyn Scorer) -> Self {
        let name = name.to_owned();
        Self { name, scorer }
    }

    fn score(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f32>, RecipeError> {
        let scores = self.scorer.score(items)?;
        if scores.len() != items.len() {
            let (items, scores) = (items.len(), scores.len());
            return Err(ScoreError::Count { items, scores }.into());
        }
        Ok(scores)
    }

    /// Returns one score per item.
    pub(crate) fn scores(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f64>, RecipeError> {
        Ok(self.score(items)?.into_iter().map(f64::from).collect())
    }

    /// Returns the scores of each pair's chosen and rejected answer.
    pub(crate) fn both(&self, pairs: &[PreferencePair]) -> Result<Vec<[f32; 2]>, RecipeError> {
        let sides = |pair: &PreferencePair| {
            [&pair.chosen, &pair.rejected].map(|side| (pair.prompt.clone(), side.clone()))
        };
        let items: Vec<(Prompt, Completion)> = pairs.iter().flat_map(sides).collect();
        let scores = self.score(&items)?;
        Ok(scores.chunks(2).map(|pair| [pair[0], pair[1]]).collect())
    }
}

impl std::fmt::Debug for AnswerScorer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerScorer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
