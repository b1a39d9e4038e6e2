//! New prompts that are not like old ones.

use collimate_core::OptionError;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::JudgeError;
use crate::rouge::{Pattern, Vocabulary, similarity};

/// Options of the filter that keeps new prompts.
///
/// | field | default | range |
/// |---|---|---|
/// | `threshold` | 0.7 | (0, 1]: ROUGE-L from which on a prompt is too like another |
/// | `min_words` | 3 | up to `max_words` |
/// | `max_words` | 150 | |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NoveltyOptions {
    /// ROUGE-L from which on a prompt is too like another and is refused, above 0 and at most 1.
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

/// Why a prompt is refused.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Too few words.
    TooShort {
        /// Its words.
        words: usize,
    },
    /// Too many words.
    TooLong {
        /// Its words.
        words: usize,
    },
    /// Too like a prompt of the pool.
    Similar {
        /// The prompt it is most like, as a place in the pool; of equals the first.
        to: usize,
        /// Their ROUGE-L.
        rouge_l: f64,
    },
}

/// What a filter kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NoveltyReport {
    /// Indices of the prompts that were kept, in order.
    pub kept: Vec<usize>,
    /// Indices of the others, in order, with the reason.
    pub refused: Vec<(usize, Refusal)>,
    /// How many were too short.
    pub too_short: usize,
    /// How many were too long.
    pub too_long: usize,
    /// How many were too like another.
    pub similar: usize,
}

/// Keeps prompts that are new: ROUGE-L to every prompt of the pool below the threshold, and 3 to
/// 150 words, as Self-Rewarding takes it from Self-Instruct
/// ([arXiv:2212.10560](https://arxiv.org/abs/2212.10560)). A prompt that is kept joins the pool.
///
/// A word is a piece between blanks with at least one letter or digit. Similar means
/// [`rouge_l`](crate::rouge_l) ≥ threshold.
///
/// # Differs from
/// Self-Instruct's code: a ROUGE-L of exactly 0.7 is refused (kept there, against the paper), three
/// words are enough (four there), and nothing is refused for a word that it holds.
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
    /// A filter with an empty pool.
    ///
    /// # Errors
    /// [`JudgeError::Option`].
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

    /// Puts a prompt into the pool, new or not.
    pub fn add(&mut self, prompt: &str) {
        let ids = self.vocabulary.ids(prompt);
        self.pool.push(ids);
    }

    /// Prompts in the pool.
    pub fn len(&self) -> usize {
        self.pool.len()
    }

    /// True if the pool is empty.
    pub fn is_empty(&self) -> bool {
        self.pool.is_empty()
    }

    /// Puts a prompt into the pool if it is new.
    ///
    /// # Errors
    /// Why it is not.
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

    /// Offers prompts one after the other: a later one is compared with earlier ones that were
    /// kept.
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

    /// The most similar prompt of the pool, if it is too similar.
    fn nearest(&self, ids: &[u32]) -> Option<(usize, f64)> {
        let pattern = Pattern::new(ids, self.vocabulary.len());
        let threshold = self.options.threshold;
        let rouge_l = |(index, other): (usize, &Vec<u32>)| {
            // A subsequence is no longer than the shorter text. The same operations as in the
            // measure itself: rounding cannot make the bound smaller than what it bounds.
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
