//! A judge in the role of a reward.

use std::fmt;
use std::ops::Deref;

use collimate_core::{Completion, Generator, OptionError, Prompt, ScoreError, Scorer};
use serde::{Deserialize, Serialize};

use crate::error::{JudgeError, excerpt};
use crate::item::Item;
use crate::judge::Judge;
use crate::rubric::Rubric;

/// Treatment of an answer without a score where every answer needs one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnparsedPolicy {
    /// The whole call fails and names the answer.
    #[default]
    Refuse,
    /// The answer gets this score, which must be finite.
    Score(f64),
}

/// A [`Scorer`] that asks a judge. The score of an item is its grade.
///
/// # Examples
/// ```
/// use collimate_core::{Completion, GenerateError, Generator, Prompt, Sampling, Scorer};
/// use collimate_judge::{Judge, JudgeOptions, JudgeScorer, Rubric, UnparsedPolicy};
///
/// struct Generous;
/// impl Generator for Generous {
///     fn generate(&self, prompts: &[Prompt], s: &Sampling) -> Result<Vec<Vec<Completion>>, GenerateError> {
///         Ok(vec![vec!["All there.\nScore: 5".into(); s.n]; prompts.len()])
///     }
/// }
/// let judge = Judge::new("generous", &Generous, JudgeOptions::greedy())?;
/// let scorer = JudgeScorer::new(judge, Rubric::additive(), UnparsedPolicy::Refuse)?;
/// assert_eq!(scorer.score(&[("2+2?".into(), "4".into())])?, [5.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct JudgeScorer<P> {
    judge: Judge<P>,
    rubric: Rubric,
    unparsed: UnparsedPolicy,
}

impl<P> JudgeScorer<P>
where
    P: Deref,
    P::Target: Generator,
{
    /// Makes a scorer.
    ///
    /// # Errors
    /// [`JudgeError::Option`] for a fallback score that is not finite.
    pub fn new(
        judge: Judge<P>,
        rubric: Rubric,
        unparsed: UnparsedPolicy,
    ) -> Result<Self, JudgeError> {
        if let UnparsedPolicy::Score(score) = unparsed {
            let holds = (score as f32).is_finite();
            OptionError::check("unparsed.score", score, "finite as f32", holds)?;
        }
        Ok(Self {
            judge,
            rubric,
            unparsed,
        })
    }

    fn scores(&self, items: &[Item]) -> Result<Vec<f32>, JudgeError> {
        let grades = self.judge.grade(&self.rubric, items)?.grades;
        let scores = grades.iter().enumerate().map(|(index, grade)| {
            let score = match (grade.score, self.unparsed) {
                (Some(score), _) | (None, UnparsedPolicy::Score(score)) => score,
                (None, UnparsedPolicy::Refuse) => {
                    let text = grade.votes.first().map_or("", |vote| &vote.text);
                    return Err(JudgeError::Unscored {
                        index,
                        example: excerpt(text),
                    });
                }
            };
            Ok(score as f32)
        });
        scores.collect()
    }
}

impl<P> Scorer for JudgeScorer<P>
where
    P: Deref + Send + Sync,
    P::Target: Generator,
{
    /// # Errors
    /// [`ScoreError::Other`] with the text of a [`JudgeError`]. An empty list of items is not an
    /// error and gives no scores.
    fn score(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f32>, ScoreError> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let items: Vec<Item> = items
            .iter()
            .map(|(prompt, answer)| Item::new(prompt.clone(), answer.clone()))
            .collect();
        self.scores(&items)
            .map_err(|error| ScoreError::Other(error.to_string()))
    }
}

impl<P> fmt::Debug for JudgeScorer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JudgeScorer")
            .field("judge", &self.judge)
            .field("rubric", &self.rubric)
            .field("unparsed", &self.unparsed)
            .finish()
    }
}
