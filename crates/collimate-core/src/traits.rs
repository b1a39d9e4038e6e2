//! Traits of scorers and generators: a local model, a function, or a server.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Completion, Prompt};

/// Reason why scoring failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// A score is not a finite number.
    #[error("the score of item {index} is {value}, not a finite number")]
    NotFinite {
        /// Index of the item.
        index: usize,
        /// Score of the item.
        value: f32,
    },
    /// The number of scores differs from the number of items.
    #[error("the scorer returned {scores} scores for {items} items")]
    Count {
        /// Number of items given.
        items: usize,
        /// Number of scores returned.
        scores: usize,
    },
    /// An error of the scorer itself.
    #[error("{0}")]
    Other(String),
}

/// Gives each completion a score. A reward model, a programmatic reward or a server can be a scorer.
pub trait Scorer: Send + Sync {
    /// Returns one finite score per item, in order; larger is better.
    ///
    /// # Errors
    /// Returns an error if an item cannot be scored.
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

/// Sampling options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Number of completions for each prompt, at least 1.
    pub n: usize,
    /// Seed of the random numbers that sampling draws.
    pub seed: u64,
    /// Softmax temperature, at least 0; 0 always takes the likeliest token.
    pub temperature: f64,
    /// Nucleus sampling: draws only from the likeliest tokens that together reach this probability.
    /// Above 0 and at most 1; 1 keeps all tokens.
    pub top_p: f64,
    /// Number of likeliest tokens that are kept; 0 keeps all tokens.
    pub top_k: usize,
    /// Penalty on tokens that the prompt or the completion already holds, above 0; 1 changes
    /// nothing. A positive logit of such a token is divided by the penalty, a negative one is
    /// multiplied by it.
    pub repetition_penalty: f64,
    /// Largest number of new tokens in a completion, at least 1.
    pub max_new_tokens: usize,
    /// Texts that end a completion, each of at least one character.
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
            repetition_penalty: 1.0,
            max_new_tokens: 128,
            stop: Vec::new(),
        }
    }
}

impl Sampling {
    /// Checks the values.
    ///
    /// # Errors
    /// [`GenerateError::Option`] for the first value that is out of range.
    ///
    /// # Examples
    /// ```
    /// use collimate_core::Sampling;
    /// let wrong = Sampling { top_p: 1.5, ..Sampling::default() };
    /// let error = wrong.check().unwrap_err().to_string();
    /// assert_eq!(error, "top_p is 1.5 but must be above 0, at most 1 (1 keeps all)");
    /// ```
    pub fn check(&self) -> Result<(), GenerateError> {
        let wrong = |option, value: &dyn ToString, allowed| {
            Err(GenerateError::Option {
                option,
                value: value.to_string(),
                allowed,
            })
        };
        if self.n == 0 {
            return wrong("n", &self.n, "at least 1");
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            let allowed = "a number of at least 0 (0 takes the likeliest token)";
            return wrong("temperature", &self.temperature, allowed);
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong("top_p", &self.top_p, "above 0, at most 1 (1 keeps all)");
        }
        // Logits are f32, so a penalty that f32 rounds to 0 or infinity counts as 0 or infinite.
        let penalty = self.repetition_penalty as f32;
        if !(penalty.is_finite() && penalty > 0.0) {
            let allowed = "a number above 0 that f32 can hold (1 changes nothing)";
            return wrong("repetition_penalty", &self.repetition_penalty, allowed);
        }
        if self.max_new_tokens == 0 {
            return wrong("max_new_tokens", &self.max_new_tokens, "at least 1");
        }
        if self.stop.iter().any(String::is_empty) {
            return wrong("stop", &"an empty text", "a text of at least one character");
        }
        Ok(())
    }
}

/// Reason why generation failed. Prompts count from 0.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// An option is out of range.
    #[error("{option} is {value} but must be {allowed}")]
    Option {
        /// Name of the option in [`Sampling`].
        option: &'static str,
        /// Value of the option.
        value: String,
        /// Description of the allowed values.
        allowed: &'static str,
    },
    /// A prompt leaves no room for an answer.
    #[error(
        "prompt {index} has {tokens} tokens, but the model takes {context} in all, with the \
         answer: shorten the prompt"
    )]
    PromptTooLong {
        /// Index of the prompt.
        index: usize,
        /// Number of tokens of the prompt.
        tokens: usize,
        /// Context length of the model.
        context: usize,
    },
    /// A prompt cannot be read.
    #[error("prompt {index}: {message}")]
    Prompt {
        /// Index of the prompt.
        index: usize,
        /// Description of the problem and of what to do.
        message: String,
    },
    /// The model predicts a value that is not a finite number.
    #[error(
        "prompt {index}: after {tokens} new tokens the model's logits are not finite: the model's \
         weights are broken"
    )]
    NotFinite {
        /// Index of the prompt.
        index: usize,
        /// Number of new tokens written before the error.
        tokens: usize,
    },
    /// A stop was requested.
    #[error("stopped before all completions were written")]
    Interrupted,
    /// An error of the generator itself.
    #[error("{0}")]
    Other(String),
}

/// Completions of one prompt, as [`Generator::hand_out`] passes them on.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// Completions in order. There are fewer than requested only if the call fails or `refused`
    /// gives a reason.
    pub completions: Vec<Completion>,
    /// Reason why the prompt has no further completions: a content filter, or a prompt that is too
    /// long. Other prompts may still get their completions.
    pub refused: Option<String>,
}

/// Writes completions. A local model or a server can be a generator.
pub trait Generator: Send + Sync {
    /// Returns `sampling.n` completions for each prompt, in order.
    ///
    /// # Errors
    /// Returns an error if a prompt cannot be completed.
    fn generate(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Completion>>, GenerateError>;

    /// Passes the answers to each prompt to `take`, with the index of the prompt, in any order. A
    /// refused prompt does not affect the others. Answers that arrive before an error are passed on.
    ///
    /// The default is [`hand_out`]. A server that charges for each answer, or that refuses single
    /// prompts, overrides it.
    ///
    /// # Errors
    /// Returns an error that concerns every prompt.
    fn hand_out(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
        take: &mut dyn FnMut(usize, Answers),
    ) -> Result<(), GenerateError> {
        hand_out(self, prompts, sampling, take)
    }
}

/// Passes on the completions of [`Generator::generate`]. A prompt that is too long is refused
/// alone: the others are completed without it.
///
/// # Errors
/// Returns any other error of `generate`, with the prompt's index in `prompts`.
pub fn hand_out<G: Generator + ?Sized>(
    generator: &G,
    prompts: &[Prompt],
    sampling: &Sampling,
    take: &mut dyn FnMut(usize, Answers),
) -> Result<(), GenerateError> {
    let mut places: Vec<usize> = (0..prompts.len()).collect();
    let mut left = prompts.to_vec();
    loop {
        match generator.generate(&left, sampling) {
            Ok(written) => {
                for (at, completions) in written.into_iter().enumerate() {
                    // A surplus list is passed on with an index out of range, so that the caller
                    // notices.
                    let index = places.get(at).copied().unwrap_or(prompts.len() + at);
                    let refused = None;
                    take(
                        index,
                        Answers {
                            completions,
                            refused,
                        },
                    );
                }
                return Ok(());
            }
            Err(error) => {
                let index = match error {
                    GenerateError::PromptTooLong { index, .. } if index < left.len() => index,
                    other => return Err(other.at(&places)),
                };
                let place = places.remove(index);
                left.remove(index);
                let text = error.to_string();
                let answers = Answers {
                    completions: Vec::new(),
                    refused: Some(text.replacen(&format!("prompt {index}"), "the prompt", 1)),
                };
                take(place, answers);
                if left.is_empty() {
                    return Ok(());
                }
            }
        }
    }
}

impl GenerateError {
    /// Returns the same error about the prompt at `places[index]`, if the error names a prompt.
    #[must_use]
    pub fn at(mut self, places: &[usize]) -> Self {
        if let Self::PromptTooLong { index, .. }
        | Self::Prompt { index, .. }
        | Self::NotFinite { index, .. } = &mut self
            && let Some(&place) = places.get(*index)
        {
            *index = place;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named() {
        type Change = fn(&mut Sampling);
        let wrong: [(Change, &str); 10] = [
            (|s| s.n = 0, "n is 0"),
            (|s| s.temperature = -0.1, "temperature is -0.1"),
            (|s| s.temperature = f64::NAN, "temperature is NaN"),
            (|s| s.top_p = 0.0, "top_p is 0"),
            (|s| s.top_p = 1.01, "top_p is 1.01"),
            (|s| s.top_p = f64::NAN, "top_p is NaN"),
            (|s| s.repetition_penalty = 0.0, "repetition_penalty is 0"),
            (
                |s| s.repetition_penalty = f64::INFINITY,
                "repetition_penalty is inf",
            ),
            (|s| s.max_new_tokens = 0, "max_new_tokens is 0"),
            (|s| s.stop = vec![String::new()], "stop is an empty text"),
        ];
        assert!(Sampling::default().check().is_ok());
        for (change, says) in wrong {
            let mut sampling = Sampling::default();
            change(&mut sampling);
            let error = sampling.check().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{says} but must be ")),
                "{error}"
            );
        }
        for repetition_penalty in [1e-60, 1e60, -1e-60, f64::NAN] {
            let sampling = Sampling {
                repetition_penalty,
                ..Sampling::default()
            };
            let error = sampling.check().unwrap_err().to_string();
            let says = format!("repetition_penalty is {repetition_penalty} but must be ");
            assert!(error.starts_with(&says), "{error}");
        }
    }

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

    /// A generator that takes prompts of at most three characters and fails at "nan".
    struct Short;

    impl Generator for Short {
        fn generate(
            &self,
            prompts: &[Prompt],
            sampling: &Sampling,
        ) -> Result<Vec<Vec<Completion>>, GenerateError> {
            let texts: Vec<String> = prompts.iter().map(Prompt::to_plain).collect();
            if let Some(index) = texts.iter().position(|text| text.len() > 3) {
                let (tokens, context) = (texts[index].len(), 3);
                return Err(GenerateError::PromptTooLong {
                    index,
                    tokens,
                    context,
                });
            }
            if let Some(index) = texts.iter().position(|text| text == "nan") {
                return Err(GenerateError::NotFinite { index, tokens: 0 });
            }
            let answer = |text: String| vec![Completion::from(text); sampling.n];
            Ok(texts.into_iter().map(answer).collect())
        }
    }

    /// Index, number of completions and refusal of each prompt that was handed out.
    type Seen = Vec<(usize, usize, bool)>;

    fn handed_out(prompts: &[&str]) -> (Seen, Result<(), GenerateError>) {
        let prompts: Vec<Prompt> = prompts.iter().map(|&text| text.into()).collect();
        let sampling = Sampling {
            n: 2,
            ..Sampling::default()
        };
        let mut seen = Vec::new();
        let ended = Short.hand_out(&prompts, &sampling, &mut |index, answers| {
            if let Some(reason) = &answers.refused {
                assert!(reason.starts_with("the prompt has 4 tokens"), "{reason}");
            }
            seen.push((index, answers.completions.len(), answers.refused.is_some()));
        });
        (seen, ended)
    }

    #[test]
    fn a_prompt_that_is_too_long_takes_no_other_with_it() {
        let (seen, ended) = handed_out(&["a", "long", "b", "also", "c"]);
        assert!(ended.is_ok());
        let refused = [(1, 0, true), (3, 0, true)];
        assert_eq!(seen[..2], refused);
        assert_eq!(seen[2..], [(0, 2, false), (2, 2, false), (4, 2, false)]);
        let (seen, ended) = handed_out(&["long", "also"]);
        assert!(ended.is_ok());
        assert_eq!(seen, [(0, 0, true), (1, 0, true)]);
        let (seen, ended) = handed_out(&["a", "long", "nan"]);
        assert_eq!(seen, [(1, 0, true)]);
        assert!(matches!(
            ended,
            Err(GenerateError::NotFinite { index: 2, .. })
        ));
    }
}
