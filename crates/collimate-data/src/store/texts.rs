//! Stores of texts, tokenised block by block.

use std::ops::ControlFlow;
use std::path::PathBuf;

use collimate_core::PreferencePair;
use serde_json::Value;

use super::block::{BLOCK_ROWS, Block, Texts};
use super::builder::StoreBuilder;
use super::folder::Begun;
use super::key::StoreKey;
use super::token_store::TokenStore;
use super::wrong;
use crate::error::DataError;
use crate::example::SftExample;
use crate::tokenize::{TextTokenizer, TokenizedExample, TokenizedPair, Truncation};

/// Folder of a store, and rules for the rows in it.
#[derive(Debug, Clone)]
pub struct StorePlan {
    /// Folder of the store.
    pub dir: PathBuf,
    /// Everything that determines the input rows: the bytes of the files, and the options of the
    /// reader. [`key`](Self::key) adds the rest.
    pub input: StoreKey,
    /// Length of the longest sequence, in tokens.
    pub max_length: usize,
    /// End of the prompt at which a sequence that is too long is cut.
    pub truncation: Truncation,
}

impl StorePlan {
    /// Returns the key of the store: the input, the tokenizer, the length and the truncation.
    ///
    /// # Errors
    /// As [`TextTokenizer::fingerprint`].
    pub fn key(&self, tokenizer: &TextTokenizer) -> Result<String, DataError> {
        let key = self.input.clone().tokenizer(tokenizer)?;
        let key = key.text(&format!("max_length {}", self.max_length));
        Ok(key
            .text(&format!("truncation {:?}", self.truncation))
            .finish())
    }
}

impl TextTokenizer {
    /// Tokenises pairs into a store, in constant memory and on all threads of rayon. Returns `None`
    /// if `progress` has stopped the build.
    ///
    /// `rows` gives the pairs of each row of the input. A row may give no pair, or several. If the
    /// store is complete, no row is read. If a part of the store exists, its input rows are read
    /// but not tokenised again. The ids and the counts are those of
    /// [`encode_pairs`](Self::encode_pairs). Pairs whose two answers have the same ids are counted
    /// (`TokenizeReport::equal_answers`) and left out, because there is nothing to learn from them.
    /// Pairs of weight 0 are left out too.
    ///
    /// `progress` is called with the number of input rows so far, at least once per 4096 rows. Rows
    /// of an earlier build count. On `Break` the rows so far are kept for the next call. `about` is
    /// called after the last row, and returns what [`TokenStore::about`] keeps, such as the counts
    /// of the reader.
    ///
    /// # Errors
    /// The error of the first row that is an error, or that
    /// [`encode_pair`](Self::encode_pair) refuses. [`DataError::Store`] if the input has fewer rows
    /// than an earlier build has read. Otherwise as [`StoreBuilder::begin`] and
    /// [`StoreBuilder::finish`].
    ///
    /// # Examples
    /// ```
    /// use std::ops::ControlFlow;
    /// use collimate_core::PreferencePair;
    /// use collimate_data::{SpecialTokenIds, StoreKey, StorePlan, TextTokenizer, Truncation};
    /// use tokenizers::{Tokenizer, models::wordlevel::WordLevel, pre_tokenizers::whitespace::WhitespaceSplit};
    /// # let words = ["</s>", "<unk>", "two", "plus", "is", "four", "five"];
    /// # let vocab = words.iter().zip(0..).map(|(w, id)| (w.to_string(), id)).collect();
    /// # let model = WordLevel::builder().vocab(vocab).unk_token("<unk>".into()).build().unwrap();
    /// # let mut tokenizer = Tokenizer::new(model);
    /// # tokenizer.with_pre_tokenizer(Some(WhitespaceSplit));
    /// # let special = SpecialTokenIds { bos: None, eos: 0, pad: None };
    /// # let tokenizer = TextTokenizer::new(tokenizer, special, None)?;
    /// # let dir = std::env::temp_dir().join(format!("collimate-pairs-{}", std::process::id()));
    /// let plan = StorePlan {
    ///     dir: dir.clone(),
    ///     input: StoreKey::new("pairs").text("two pairs"),
    ///     max_length: 16,
    ///     truncation: Truncation::KeepEnd,
    /// };
    /// let rows = [("four", "five"), ("four", "four")].map(|(chosen, rejected)| {
    ///     let pair = PreferencePair::new("two plus two is", chosen, rejected);
    ///     Ok(vec![pair])
    /// });
    /// let about = || serde_json::json!("an example");
    /// let store = tokenizer.store_pairs(&plan, rows, about, |_| ControlFlow::Continue(()))?;
    /// let store = store.expect("`progress` does not stop the build");
    /// assert_eq!((store.len(), store.report().pairs, store.report().equal_answers), (1, 2, 1));
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn store_pairs(
        &self,
        plan: &StorePlan,
        rows: impl IntoIterator<Item = Result<Vec<PreferencePair>, DataError>>,
        about: impl FnOnce() -> Value,
        progress: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Option<TokenStore<TokenizedPair>>, DataError> {
        store(self, plan, rows, about, progress)
    }

    /// Tokenises examples into a store, like [`store_pairs`](Self::store_pairs). The ids and the
    /// counts are those of [`encode_examples`](Self::encode_examples), and no example is left out.
    ///
    /// # Errors
    /// As [`store_pairs`](Self::store_pairs).
    pub fn store_examples(
        &self,
        plan: &StorePlan,
        rows: impl IntoIterator<Item = Result<Vec<SftExample>, DataError>>,
        about: impl FnOnce() -> Value,
        progress: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Option<TokenStore<TokenizedExample>>, DataError> {
        store(self, plan, rows, about, progress)
    }
}

/// Rows of texts, one item per row of the input.
type Rows<'a, R> = &'a mut dyn Iterator<Item = Result<Vec<R>, DataError>>;

fn store<R: Texts>(
    tokenizer: &TextTokenizer,
    plan: &StorePlan,
    rows: impl IntoIterator<Item = Result<Vec<R>, DataError>>,
    about: impl FnOnce() -> Value,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<TokenStore<R::Ids>>, DataError> {
    let mut builder = match StoreBuilder::begin(&plan.dir, &plan.key(tokenizer)?)? {
        Begun::Complete(store) => return Ok(Some(store)),
        Begun::Building(builder) => builder,
    };
    let mut rows = rows.into_iter();
    if skip(&mut rows, builder.consumed(), plan, &mut progress)?.is_break() {
        return Ok(None);
    }
    loop {
        let block = Block::read(&mut rows)?;
        if block.inputs == 0 {
            break;
        }
        let (ids, counts) = R::encode(tokenizer, &block.rows, plan)?;
        for ids in ids.iter().filter(|ids| R::is_kept(ids)) {
            builder.push(ids)?;
        }
        let report = *builder.report() + counts;
        builder.rows_done(block.inputs, &report)?;
        if progress(builder.consumed()).is_break() {
            builder.checkpoint()?;
            return Ok(None);
        }
    }
    // `about` may use what `rows` has borrowed.
    drop(rows);
    let report = *builder.report();
    builder.finish(report, about()).map(Some)
}

/// Reads the rows that an earlier build has stored.
fn skip<R>(
    rows: Rows<'_, R>,
    count: u64,
    plan: &StorePlan,
    progress: &mut impl FnMut(u64) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, DataError> {
    for done in 1..=count {
        let Some(row) = rows.next() else {
            let what = format!(
                "the input has {} rows, but an earlier build has read {count}: the input has changed; delete the folder and build the store again",
                done - 1
            );
            return Err(wrong(&plan.dir, what));
        };
        row?;
        if done % BLOCK_ROWS == 0 && progress(done).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
