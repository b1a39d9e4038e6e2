//! What scores completions and what writes them: a model here, a function, or a server.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Completion, Prompt};

/// Why scoring failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// A score is not a finite number.
    #[error("the score of item {index} is {value}, not a finite number")]
    NotFinite {
        /// Which item.
        index: usize,
        /// Its score.
        value: f32,
    },
    /// Another number of scores than items.
    #[error("{items} items were given, {scores} scores came back")]
    Count {
        /// Items given.
        items: usize,
        /// Scores returned.
        scores: usize,
    },
    /// What the scorer itself says.
    #[error("{0}")]
    Other(String),
}

/// Gives each completion a number: a reward model, a programmatic reward, a server.
pub trait Scorer: Send + Sync {
    /// One finite score per item, in order; larger is better.
    ///
    /// # Errors
    /// Where an item cannot be scored.
    fn score(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f32>, ScoreError>;
}

impl<F> Scorer for F
where
    F: Fn(&Prompt, &Completion) -> f32 + Send + Sync,
{
    fn score(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f32>, ScoreError> {
        items
            .iter()
            .enumerate()
            .map(|(index, (prompt, completion))| {
                let value = self(prompt, completion);
                if value.is_finite() {
                    Ok(value)
                } else {
                    Err(ScoreError::NotFinite { index, value })
                }
            })
            .collect()
    }
}

/// How completions are sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Completions per prompt.
    pub n: usize,
    /// Seed of the random stream.
    pub seed: u64,
    /// Softmax temperature; 0 is greedy.
    pub temperature: f64,
    /// Nucleus: the smallest set of tokens with at least this probability.
    pub top_p: f64,
    /// Keep this many likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// At most this many new tokens.
    pub max_new_tokens: usize,
    /// Texts that end a completion.
    pub stop: Vec<String>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            n: 1,
            seed: 0,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            max_new_tokens: 128,
            stop: Vec::new(),
        }
    }
}

/// Why generation failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// A prompt that leaves no room for an answer.
    #[error("prompt {index} has {tokens} tokens, the model's context is {context}")]
    PromptTooLong {
        /// Which prompt.
        index: usize,
        /// Its tokens.
        tokens: usize,
        /// The context length.
        context: usize,
    },
    /// What the generator itself says.
    #[error("{0}")]
    Other(String),
}

/// Writes completions: a model here, or a server.
pub trait Generator: Send + Sync {
    /// `sampling.n` completions for each prompt, in order.
    ///
    /// # Errors
    /// Where a prompt cannot be completed.
    fn generate(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Completion>>, GenerateError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_is_a_scorer_and_may_not_return_nan() {
        let by_length = |_: &Prompt, c: &Completion| c.text.len() as f32;
        let items = [(Prompt::from("q"), Completion::from("four"))];
        assert_eq!(by_length.score(&items).unwrap(), vec![4.0]);
        let nan = |_: &Prompt, _: &Completion| f32::NAN;
        assert!(matches!(
            nan.score(&items),
            Err(ScoreError::NotFinite { index: 0, .. })
        ));
    }
}
