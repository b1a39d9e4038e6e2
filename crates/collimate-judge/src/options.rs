//! Options for the questions to a judge.

use collimate_core::{OptionError, Range, Sampling};
use serde::{Deserialize, Serialize};

use crate::error::JudgeError;

/// Treatment of answers without a visible character.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EmptyAnswers {
    /// Empty answers are an error that gives their number.
    #[default]
    Refuse,
    /// The judge is not asked. An empty answer has no score and no outcome, and the report counts
    /// it.
    Unscored,
    /// The judge is asked as for any other answer.
    Judge,
}

/// Form in which the generator gets the prompt of the judge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PromptStyle {
    /// Messages, for a model with a chat template.
    #[default]
    Chat,
    /// One text: the system message, an empty line, the user message.
    Text,
}

/// Options of a [`Judge`](crate::Judge).
///
/// | field | default | range |
/// |---|---|---|
/// | `samples` | 3 | 1 to 10^6; a greedy judge (temperature 0) is asked once |
/// | `min_parse_rate` | 0.5 | [0, 1]; 0 accepts anything |
/// | `batch` | 64 | at least 1: prompts per call of the generator, and per write to the cache |
/// | `empty_answers` | `refuse` | see [`EmptyAnswers`] |
/// | `style` | `chat` | see [`PromptStyle`] |
/// | `sampling` | temperature 0.7, top-p 0.9, 512 new tokens | see [`Sampling`]; `n` stays 1, because `samples` counts |
///
/// Three samples per answer follow Self-Rewarding ([arXiv:2401.10020](https://arxiv.org/abs/2401.10020)).
/// The paper does not say how judgements are sampled, so the values are those of its candidate
/// answers. [`JudgeOptions::greedy`] is the judge of MT-bench.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct JudgeOptions {
    /// Number of judgements per answer, 1 to 10^6. A greedy judge (temperature 0) is asked once. A
    /// pair gets one judgement for each order, whatever this number is.
    pub samples: usize,
    /// Smallest share of judgements that must parse, 0 to 1. 0 accepts anything. Below this share
    /// judging fails, after the batch that makes the failure certain.
    pub min_parse_rate: f64,
    /// Number of prompts in a call of the generator and in a write to the cache, at least 1.
    pub batch: usize,
    /// Treatment of answers without a visible character.
    pub empty_answers: EmptyAnswers,
    /// Form in which the generator gets the prompt of the judge.
    pub style: PromptStyle,
    /// Sampling options of a judgement. `n` stays 1, because `samples` counts.
    pub sampling: Sampling,
}

impl Default for JudgeOptions {
    fn default() -> Self {
        Self {
            samples: 3,
            min_parse_rate: 0.5,
            batch: 64,
            empty_answers: EmptyAnswers::default(),
            style: PromptStyle::default(),
            sampling: Sampling {
                temperature: 0.7,
                top_p: 0.9,
                max_new_tokens: 512,
                ..Sampling::default()
            },
        }
    }
}

impl JudgeOptions {
    /// Returns options for one judgement at temperature 0, of at most 2048 tokens, as in MT-bench's
    /// released code.
    pub fn greedy() -> Self {
        Self {
            samples: 1,
            sampling: Sampling {
                temperature: 0.0,
                max_new_tokens: 2048,
                ..Sampling::default()
            },
            ..Self::default()
        }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`JudgeError::Option`] with name and value. [`JudgeError::Generate`] for invalid sampling
    /// options.
    pub fn check(&self) -> Result<(), JudgeError> {
        let few = (1..=1_000_000).contains(&self.samples);
        OptionError::check("samples", self.samples, "at least 1, at most 10^6", few)?;
        OptionError::check("batch", self.batch, "at least 1", self.batch >= 1)?;
        Range::Share.check("min_parse_rate", self.min_parse_rate)?;
        let (n, allowed) = (self.sampling.n, "1: set `samples` to ask more often");
        OptionError::check("sampling.n", n, allowed, n == 1)?;
        Ok(self.sampling.check()?)
    }

    /// Returns the number of judgements per answer that can differ. A greedy judge repeats itself.
    pub(crate) fn effective_samples(&self) -> usize {
        if self.sampling.temperature == 0.0 {
            1
        } else {
            self.samples
        }
    }
}
