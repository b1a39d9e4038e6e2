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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Number of completions for each prompt, at least 1.
    pub n: usize,
    /// Seed of the random numbers that sampling draws.
    pub seed: u64,
    /// Softmax temperature, at least 0; 0 always takes the likeliest token.
    pub temperature: f64,
    /// Nucleus sampling: only the likeliest tokens that together reach this probability are drawn,
    /// above 0 and at most 1; 1 keeps all tokens.
    pub top_p: f64,
    /// Number of likeliest tokens that are kept; 0 keeps all tokens.
    pub top_k: usize,
    /// Penalty on tokens that prompt or completion already hold, above 0; 1 changes nothing. The
    /// logit of such a token is divided by the penalty where it is positive, and multiplied where
    /// it is negative.
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
    /// assert_eq!(error, "top_p is 1.5: above 0, at most 1 (1 keeps all)");
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
        // Logits are f32: what is 0 or infinite there is so here.
        let penalty = self.repetition_penalty as f32;
        if !(penalty.is_finite() && penalty > 0.0) {
            let allowed = "a number above 0 that f32 can hold (1 changes nothing)";
            return wrong("repetition_penalty", &self.repetition_penalty, allowed);
        }
        if self.max_new_tokens == 0 {
            return wrong("max_new_tokens", &self.max_new_tokens, "at least 1");
        }
        if self.stop.iter().any(String::is_empty) {
            return wrong("stop", &"an empty text", "texts of at least one character");
        }
        Ok(())
    }
}

/// Why generation failed. Prompts count from 0.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// An option outside what is allowed.
    #[error("{option} is {value}: {allowed}")]
    Option {
        /// The option, as [`Sampling`] names it.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A prompt that leaves no room for an answer.
    #[error(
        "prompt {index} has {tokens} tokens, the model takes {context} in all, \
         the answer's included: shorten the prompt"
    )]
    PromptTooLong {
        /// Which prompt.
        index: usize,
        /// Its tokens.
        tokens: usize,
        /// The context length.
        context: usize,
    },
    /// A prompt that cannot be read.
    #[error("prompt {index}: {message}")]
    Prompt {
        /// Which prompt.
        index: usize,
        /// What is wrong and what to do.
        message: String,
    },
    /// The model predicts something that is no number.
    #[error(
        "prompt {index}: after {tokens} new tokens the model's logits are not finite: \
         its weights are broken"
    )]
    NotFinite {
        /// Which prompt.
        index: usize,
        /// How many tokens it had written.
        tokens: usize,
    },
    /// Somebody asked to stop.
    #[error("stopped before every prompt had its completions")]
    Interrupted,
    /// What the generator itself says.
    #[error("{0}")]
    Other(String),
}

/// The completions of one prompt, as [`Generator::hand_out`] gives them.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// In order. Fewer than asked for only where the call fails or `refused` says why.
    pub completions: Vec<Completion>,
    /// Why the prompt has no more completions: a content filter, a prompt that is too long. Other
    /// prompts may well have theirs.
    pub refused: Option<String>,
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

    /// Gives `take` the answers to each prompt, with the index of the prompt, in any order. A prompt
    /// that is refused takes no other with it, and what has arrived before an error is handed out.
    ///
    /// The default is [`hand_out`]. A server that charges for each answer, or that refuses single
    /// prompts, has its own.
    ///
    /// # Errors
    /// An error that concerns every prompt.
    fn hand_out(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
        take: &mut dyn FnMut(usize, Answers),
    ) -> Result<(), GenerateError> {
        hand_out(self, prompts, sampling, take)
    }
}

/// Hands out what [`Generator::generate`] writes. Prompts that are too long are refused one by one:
/// the others are written without them.
///
/// # Errors
/// Any other error of `generate`, with the index that the prompt has in `prompts`.
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
                    // A list too many is for the caller to see.
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
    /// The same error about the prompt at `places[index]`, where it names a prompt.
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
            assert!(error.starts_with(&format!("{says}: ")), "{error}");
        }
        for repetition_penalty in [1e-60, 1e60, -1e-60, f64::NAN] {
            let sampling = Sampling {
                repetition_penalty,
                ..Sampling::default()
            };
            let error = sampling.check().unwrap_err().to_string();
            let says = format!("repetition_penalty is {repetition_penalty}: ");
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

    /// Takes prompts of at most three characters and cannot write about "nan".
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
