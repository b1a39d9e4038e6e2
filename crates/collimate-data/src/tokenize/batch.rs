//! Tokenisation of many pairs or examples in parallel.

use std::fmt;
use std::ops::Add;
use std::sync::atomic::{AtomicUsize, Ordering};

use collimate_core::PreferencePair;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::encode::{Cut, TokenizedExample, TokenizedPair, Truncation};
use super::text_tokenizer::TextTokenizer;
use crate::error::DataError;
use crate::example::SftExample;

/// Counts of tokenisation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenizeReport {
    /// Number of pairs or examples.
    pub pairs: usize,
    /// Number of tokens produced. The prompt of a pair counts once.
    pub tokens: usize,
    /// Number of pairs or examples that were cut.
    pub truncated: usize,
    /// Number of tokens that were cut.
    pub tokens_cut: usize,
    /// Number of pairs or examples whose prompt was cut.
    pub prompts_cut: usize,
    /// Number of pairs or examples whose prompt has lost everything except BOS.
    pub prompts_lost: usize,
    /// Number of pairs or examples with an answer that lost its end.
    pub ends_lost: usize,
    /// Number of pairs whose two answers have the same ids. Their answers differ only after the
    /// cut, or in characters that the vocabulary cannot distinguish, so there is nothing to learn
    /// from these pairs.
    pub equal_answers: usize,
    /// Number of pairs or examples where a token of the joint text covers the border of prompt and
    /// answer. The answer is then encoded alone.
    pub borders_crossed: usize,
    /// Number of pairs or examples where the prompt has other ids in the joint text than alone,
    /// although no token covers the border.
    pub prompts_respelled: usize,
    /// Number of pairs or examples whose chat template renders the prompt differently when an
    /// answer follows. Templates that begin an answer with `<think>` do that. The answer is then
    /// encoded without the template.
    pub prompts_rewritten: usize,
    /// Number of pairs or examples with a message that has a key, other than role and content, that
    /// the chat template does not read. The ids lack the value of this key.
    pub keys_unread: usize,
}

impl TokenizeReport {
    fn note(&mut self, tokens: usize, cut: Cut) {
        self.tokens += tokens;
        self.truncated += usize::from(cut.tokens > 0);
        self.tokens_cut += cut.tokens;
        self.prompts_cut += usize::from(cut.prompt);
        self.prompts_lost += usize::from(cut.prompt_lost);
        self.ends_lost += usize::from(cut.end);
        self.borders_crossed += usize::from(cut.crossed);
        self.prompts_respelled += usize::from(cut.respelled);
        self.prompts_rewritten += usize::from(cut.rewritten);
        self.keys_unread += usize::from(cut.unread);
    }
}

impl Add for TokenizeReport {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            pairs: self.pairs + other.pairs,
            tokens: self.tokens + other.tokens,
            truncated: self.truncated + other.truncated,
            tokens_cut: self.tokens_cut + other.tokens_cut,
            prompts_cut: self.prompts_cut + other.prompts_cut,
            prompts_lost: self.prompts_lost + other.prompts_lost,
            ends_lost: self.ends_lost + other.ends_lost,
            equal_answers: self.equal_answers + other.equal_answers,
            borders_crossed: self.borders_crossed + other.borders_crossed,
            prompts_respelled: self.prompts_respelled + other.prompts_respelled,
            prompts_rewritten: self.prompts_rewritten + other.prompts_rewritten,
            keys_unread: self.keys_unread + other.keys_unread,
        }
    }
}

impl fmt::Display for TokenizeReport {
    /// Writes one sentence: rows, cuts, and unusual borders of prompt and answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.truncated {
            0 => write!(f, "{} rows, none cut", self.pairs)?,
            cut => write!(
                f,
                "{cut} of {} rows cut ({} tokens): {} prompts cut, {} prompts lost, {} answers \
                 without their end",
                self.pairs, self.tokens_cut, self.prompts_cut, self.prompts_lost, self.ends_lost
            )?,
        }
        for (rows, what) in [
            (
                self.borders_crossed,
                "with a token across the border of prompt and answer, which is split",
            ),
            (
                self.prompts_respelled,
                "whose prompt has other tokens if an answer follows",
            ),
            (
                self.prompts_rewritten,
                "whose template writes the prompt differently if an answer follows: the answer is \
                 encoded without the template",
            ),
            (
                self.keys_unread,
                "with keys of messages that the chat template does not read",
            ),
        ] {
            if rows > 0 {
                write!(f, "; {rows} {what}")?;
            }
        }
        Ok(())
    }
}

impl TokenizeReport {
    /// Returns true if rows were cut, or differ from the joint text of prompt and answer.
    pub fn is_worth_telling(&self) -> bool {
        self.truncated
            + self.borders_crossed
            + self.prompts_respelled
            + self.prompts_rewritten
            + self.keys_unread
            > 0
    }
}

/// Rows between two calls of the progress callback.
const CHUNK: usize = 256;

impl TextTokenizer {
    /// Returns the ids of many pairs, in order, computed on all threads of rayon.
    ///
    /// # Errors
    /// The error of the first pair that [`encode_pair`](Self::encode_pair) refuses.
    pub fn encode_pairs(
        &self,
        pairs: &[PreferencePair],
        max_length: usize,
        truncation: Truncation,
    ) -> Result<(Vec<TokenizedPair>, TokenizeReport), DataError> {
        self.encode_pairs_with(pairs, max_length, truncation, |_, _| {})
    }

    /// Encodes pairs like [`encode_pairs`](Self::encode_pairs) and reports progress.
    ///
    /// `progress` is called with (done, all) after each chunk of 256, from any thread. Two calls
    /// may arrive out of order.
    ///
    /// # Errors
    /// As [`encode_pairs`](Self::encode_pairs).
    pub fn encode_pairs_with(
        &self,
        pairs: &[PreferencePair],
        max_length: usize,
        truncation: Truncation,
        progress: impl Fn(usize, usize) + Sync,
    ) -> Result<(Vec<TokenizedPair>, TokenizeReport), DataError> {
        let encoded = in_chunks(pairs, progress, |pair| {
            self.encode_pair_counted(pair, max_length, truncation)
        })?;
        let mut report = TokenizeReport {
            pairs: pairs.len(),
            ..TokenizeReport::default()
        };
        let pairs = encoded.into_iter().map(|(pair, cut)| {
            let tokens = pair.prompt.len() + pair.chosen.len() + pair.rejected.len();
            report.note(tokens, cut);
            report.equal_answers += usize::from(pair.chosen == pair.rejected);
            pair
        });
        Ok((pairs.collect(), report))
    }

    /// Returns the ids of many examples, in order, computed on all threads of rayon.
    ///
    /// # Errors
    /// The error of the first example that [`encode_example`](Self::encode_example) refuses.
    pub fn encode_examples(
        &self,
        examples: &[SftExample],
        max_length: usize,
        truncation: Truncation,
    ) -> Result<(Vec<TokenizedExample>, TokenizeReport), DataError> {
        self.encode_examples_with(examples, max_length, truncation, |_, _| {})
    }

    /// Encodes examples like [`encode_examples`](Self::encode_examples) and reports progress like
    /// [`encode_pairs_with`](Self::encode_pairs_with).
    ///
    /// # Errors
    /// As [`encode_examples`](Self::encode_examples).
    pub fn encode_examples_with(
        &self,
        examples: &[SftExample],
        max_length: usize,
        truncation: Truncation,
        progress: impl Fn(usize, usize) + Sync,
    ) -> Result<(Vec<TokenizedExample>, TokenizeReport), DataError> {
        let encoded = in_chunks(examples, progress, |example| {
            self.encode_example_counted(example, max_length, truncation)
        })?;
        let mut report = TokenizeReport {
            pairs: examples.len(),
            ..TokenizeReport::default()
        };
        let examples = encoded.into_iter().map(|(example, cut)| {
            report.note(example.prompt.len() + example.completion.len(), cut);
            example
        });
        Ok((examples.collect(), report))
    }
}

fn in_chunks<T: Sync, R: Send>(
    rows: &[T],
    progress: impl Fn(usize, usize) + Sync,
    encode: impl Fn(&T) -> Result<R, DataError> + Sync,
) -> Result<Vec<R>, DataError> {
    let done = AtomicUsize::new(0);
    let chunks: Vec<Result<Vec<R>, DataError>> = rows
        .par_chunks(CHUNK)
        .map(|chunk| {
            let encoded = chunk.iter().map(&encode).collect();
            let so_far = done.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len();
            progress(so_far, rows.len());
            encoded
        })
        .collect();
    // Gather in order, so that the error is that of the first bad row for any number of threads.
    let mut out = Vec::with_capacity(rows.len());
    for chunk in chunks {
        out.extend(chunk?);
    }
    Ok(out)
}
