//! Pairs to learn from: texts in memory, or tokens on disk.

use collimate_core::PreferencePair;
use collimate_data::{
    RowSource, TextTokenizer, TokenStore, TokenizeReport, TokenizedPair, Truncation,
};
use collimate_train::hash_json;

use crate::RecipeError;
use crate::lengths::{check_equal, differ};

/// Pairs to learn from.
#[derive(Debug, Clone)]
pub enum TrainPairs {
    /// Texts in memory. The recipe tokenises them.
    Texts(Vec<PreferencePair>),
    /// Tokens on disk, made by [`TextTokenizer::store_pairs`]. Memory does not grow with the number
    /// of pairs. The recipe's options about lengths have no effect on these pairs.
    Stored(TokenStore<TokenizedPair>),
}

impl Default for TrainPairs {
    fn default() -> Self {
        Self::Texts(Vec::new())
    }
}

impl From<Vec<PreferencePair>> for TrainPairs {
    fn from(pairs: Vec<PreferencePair>) -> Self {
        Self::Texts(pairs)
    }
}

impl From<TokenStore<TokenizedPair>> for TrainPairs {
    fn from(store: TokenStore<TokenizedPair>) -> Self {
        Self::Stored(store)
    }
}

impl TrainPairs {
    /// Returns the number of pairs.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(pairs) => pairs.len(),
            Self::Stored(store) => store.len(),
        }
    }

    /// Returns true if there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the tokens of the pairs. Texts whose answers are equal as tokens and texts of weight
    /// 0 are left out, because nothing is learned from them.
    pub(crate) fn encode(
        &self,
        tokenizer: &TextTokenizer,
        max_length: usize,
        truncation: Truncation,
    ) -> Result<(RowSource<TokenizedPair>, TokenizeReport), RecipeError> {
        let part = "the training part";
        let (rows, report) = match self {
            Self::Texts(pairs) => {
                let (mut rows, report) = tokenizer.encode_pairs(pairs, max_length, truncation)?;
                check_equal(part, &report, max_length)?;
                rows.retain(|pair| differ(pair) && pair.weight != Some(0.0));
                (RowSource::Memory(rows), report)
            }
            Self::Stored(store) => {
                check_equal(part, store.report(), max_length)?;
                (RowSource::Store(store.clone()), *store.report())
            }
        };
        match rows.is_empty() {
            true => Err(RecipeError::Empty { part }),
            false => Ok((rows, report)),
        }
    }
}

/// Returns a hash of pairs, for the inputs of a stage.
pub(crate) fn hash(pairs: &RowSource<TokenizedPair>) -> String {
    pairs.fingerprint(|pairs| hash_json(&pairs))
}
