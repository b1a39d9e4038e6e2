//! Many pairs or examples in parallel.

use std::sync::atomic::{AtomicUsize, Ordering};

use collimate_core::PreferencePair;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::encode::{TokenizedExample, TokenizedPair, Truncation};
use super::text_tokenizer::TextTokenizer;
use crate::error::DataError;
use crate::example::SftExample;

/// What tokenisation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizeReport {
    /// Pairs or examples.
    pub pairs: usize,
    /// Tokens that came out; a pair's prompt counts once.
    pub tokens: usize,
    /// Pairs or examples of which something was cut.
    pub truncated: usize,
    /// Tokens that were cut.
    pub tokens_cut: usize,
    /// Pairs whose two answers have the same ids, because they differ only in what was cut or in
    /// what the vocabulary cannot tell apart: they teach nothing.
    pub equal_answers: usize,
}

/// Rows between two calls of the progress callback.
const CHUNK: usize = 256;

impl TextTokenizer {
    /// Ids of many pairs, in order, on all of rayon's threads.
    ///
    /// `progress` is called with (done, all) after each chunk of 256, from any thread; two calls can
    /// arrive out of order.
    ///
    /// # Errors
    /// That of the first pair that [`encode_pair`](Self::encode_pair) refuses.
    pub fn encode_pairs(
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
            report.tokens += pair.prompt.len() + pair.chosen.len() + pair.rejected.len();
            report.truncated += usize::from(pair.truncated);
            report.tokens_cut += cut;
            report.equal_answers += usize::from(pair.chosen == pair.rejected);
            pair
        });
        Ok((pairs.collect(), report))
    }

    /// Ids of many examples, in order, on all of rayon's threads; see [`encode_pairs`](Self::encode_pairs).
    ///
    /// # Errors
    /// That of the first example that [`encode_example`](Self::encode_example) refuses.
    pub fn encode_examples(
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
            report.tokens += example.prompt.len() + example.completion.len();
            report.truncated += usize::from(example.truncated);
            report.tokens_cut += cut;
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
    // Gathered in order, so that the error is that of the first bad row on any number of threads.
    let mut out = Vec::with_capacity(rows.len());
    for chunk in chunks {
        out.extend(chunk?);
    }
    Ok(out)
}
