//! Filter for prompts that differ from earlier prompts.

use collimate_core::OptionError;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::JudgeError;
use crate::rouge::{Pattern, Vocabulary, similarity};

/// Options of the filter for new prompts.
///
/// | field | default | range |
/// |---|---|---|
/// | `threshold` | 0.7 | (0, 1]: smallest ROUGE-L at which a prompt is too similar to another |
/// | `min_words` | 3 | up to `max_words` |
/// | `max_words` | 150 | |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NoveltyOptions {
    /// Smallest ROUGE-L at which a prompt is refused as too similar to another, above 0 and at
    /// most 1.
    pub threshold: f64,
    /// Smallest number of words in a prompt, at most `max_words`.
    pub min_words: usize,
    /// Largest number of words in a prompt.
    pub max_words: usize,
}

impl Default for NoveltyOptions {
    fn default() -> Self {
        Self {
            threshold: 0.7,
            min_words: 3,
            max_words: 150,
        }
    }
}

/// Reason why a prompt is refused.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The prompt has too few words.
    TooShort {
        /// Number of words of the prompt.
        words: usize,
    },
    /// The prompt has too many words.
    TooLong {
        /// Number of words of the prompt.
        words: usize,
    },
    /// The prompt is too similar to a prompt of the pool.
    Similar {
        /// Index in the pool of the most similar prompt, the first one if several are equal.
        to: usize,
        /// ROUGE-L of the two prompts.
        rouge_l: f64,
    },
}

/// Result of filtering prompts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NoveltyReport {
    /// Indices of the prompts that were kept, in order.
    pub kept: Vec<usize>,
    /// Indices of the refused prompts, in order, each with the reason.
    pub refused: Vec<(usize, Refusal)>,
    /// Number of prompts that were too short.
    pub too_short: usize,
    /// Number of prompts that were too long.
    pub too_long: usize,
    /// Number of prompts that were too similar to another.
    pub similar: usize,
}

/// Keeps prompts that are new, so that generated prompts do not repeat each other.
///
/// A prompt is new if its ROUGE-L to every prompt of the pool is below the threshold and it has 3
/// to 150 words. Self-Rewarding takes this rule from Self-Instruct
/// ([arXiv:2212.10560](https://arxiv.org/abs/2212.10560)). A kept prompt joins the pool.
///
/// A word is a piece between blanks with at least one letter or digit. Similar means
/// [`rouge_l`](crate::rouge_l) ≥ threshold.
///
/// # Differs from
/// Self-Instruct's code in three points. A ROUGE-L of exactly 0.7 is refused here; the code keeps
/// it, contrary to the paper. Three words are enough here; the code needs four. No prompt is
/// refused because of a word that it contains.
///
/// # Examples
/// ```
/// use collimate_judge::{NoveltyFilter, NoveltyOptions};
/// let mut filter = NoveltyFilter::new(NoveltyOptions::default())?;
/// filter.add("Write a poem about the sea");
/// let report = filter.filter(&[
///     "Write a poem about the sky",
///     "Explain how a heat pump works",
///     "Explain how heat pump works",
///     "Why?",
/// ]);
/// assert_eq!(report.kept, [1]);
/// assert_eq!((report.similar, report.too_short), (2, 1));
/// # Ok::<(), collimate_judge::JudgeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct NoveltyFilter {
    options: NoveltyOptions,
    vocabulary: Vocabulary,
    pool: Vec<Vec<u32>>,
}

impl NoveltyFilter {
    /// Makes a filter with an empty pool.
    ///
    /// # Errors
    /// [`JudgeError::Option`] for an option outside its range.
    pub fn new(options: NoveltyOptions) -> Result<Self, JudgeError> {
        let threshold = options.threshold;
        let holds = threshold > 0.0 && threshold <= 1.0;
        OptionError::check("threshold", threshold, "above 0, at most 1", holds)?;
        let (least, most) = (options.min_words, options.max_words);
        OptionError::check("min_words", least, "at most max_words", least <= most)?;
        Ok(Self {
            options,
            vocabulary: Vocabulary::default(),
            pool: Vec::new(),
        })
    }

    /// Adds a prompt to the pool, new or not.
    pub fn add(&mut self, prompt: &str) {
        let ids = self.vocabulary.ids(prompt);
        self.pool.push(ids);
    }

    /// Returns the number of prompts in the pool.
    pub fn len(&self) -> usize {
        self.pool.len()
    }

    /// Returns true if the pool is empty.
    pub fn is_empty(&self) -> bool {
        self.pool.is_empty()
    }

    /// Adds a prompt to the pool if it is new.
    ///
    /// # Errors
    /// The reason why the prompt is refused.
    pub fn offer(&mut self, prompt: &str) -> Result<(), Refusal> {
        let has_word = |piece: &&str| piece.chars().any(char::is_alphanumeric);
        let words = prompt.split_whitespace().filter(has_word).count();
        if words < self.options.min_words {
            return Err(Refusal::TooShort { words });
        }
        if words > self.options.max_words {
            return Err(Refusal::TooLong { words });
        }
        let ids = self.vocabulary.ids(prompt);
        if let Some((to, rouge_l)) = self.nearest(&ids) {
            return Err(Refusal::Similar { to, rouge_l });
        }
        self.pool.push(ids);
        Ok(())
    }

    /// Offers prompts one after the other. A later prompt is also compared with the earlier ones
    /// that were kept.
    pub fn filter<S: AsRef<str>>(&mut self, prompts: &[S]) -> NoveltyReport {
        let mut report = NoveltyReport::default();
        for (index, prompt) in prompts.iter().enumerate() {
            match self.offer(prompt.as_ref()) {
                Ok(()) => report.kept.push(index),
                Err(refusal) => {
                    *match refusal {
                        Refusal::TooShort { .. } => &mut report.too_short,
                        Refusal::TooLong { .. } => &mut report.too_long,
                        Refusal::Similar { .. } => &mut report.similar,
                    } += 1;
                    report.refused.push((index, refusal));
                }
            }
        }
        report
    }

    /// Returns the most similar prompt of the pool if it is too similar.
    fn nearest(&self, ids: &[u32]) -> Option<(usize, f64)> {
        let pattern = Pattern::new(ids, self.vocabulary.len());
        let threshold = self.options.threshold;
        let rouge_l = |(index, other): (usize, &Vec<u32>)| {
            // A subsequence is at most as long as the shorter text. The operations are those of the
            // measure itself, so rounding cannot make the bound smaller than the measure.
            let best = 2.0 * ids.len().min(other.len()) as f64;
            if best / ((ids.len() + other.len()) as f64) < threshold {
                return None;
            }
            let rouge_l = similarity(&pattern, other);
            (rouge_l >= threshold).then_some((index, rouge_l))
        };
        let nearer = |a: (usize, f64), b: (usize, f64)| {
            let b_is_nearer = b.1 > a.1 || (b.1 == a.1 && b.0 < a.0);
            if b_is_nearer { b } else { a }
        };
        self.pool
            .par_iter()
            .with_min_len(1024)
            .enumerate()
            .filter_map(rouge_l)
            .reduce_with(nearer)
    }
}
