//! Tokenised rows in memory or on disk.

use std::borrow::Cow;

use crate::error::DataError;
use crate::store::{Lengths, RowNumbers, StoredRow, TokenStore};
use crate::tokenize::TokenizedPair;

/// Tokenised rows that training draws from by index: in memory, or in a store on disk.
#[derive(Debug, Clone)]
pub enum RowSource<T: StoredRow> {
    /// Rows in memory.
    Memory(Vec<T>),
    /// Rows on disk. Memory does not grow with the number of rows.
    Store(TokenStore<T>),
}

impl<T: StoredRow> From<Vec<T>> for RowSource<T> {
    fn from(rows: Vec<T>) -> Self {
        Self::Memory(rows)
    }
}

impl<T: StoredRow> From<TokenStore<T>> for RowSource<T> {
    fn from(store: TokenStore<T>) -> Self {
        Self::Store(store)
    }
}

impl<T: StoredRow> RowSource<T> {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(rows) => rows.len(),
            Self::Store(store) => store.len(),
        }
    }

    /// Returns true if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a row.
    ///
    /// # Errors
    /// There is no such row, or the store cannot be read.
    pub fn get(&self, index: usize) -> Result<Cow<'_, T>, DataError> {
        match self {
            Self::Memory(rows) => rows.get(index).map(Cow::Borrowed).ok_or_else(|| {
                let allowed = format!("below {}, the number of rows", rows.len());
                DataError::argument("row", index, allowed)
            }),
            Self::Store(store) => store.get(index).map(Cow::Owned),
        }
    }

    /// Returns several rows, in the given order.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn rows(&self, indices: &[usize]) -> Result<Vec<Cow<'_, T>>, DataError> {
        indices.iter().map(|&index| self.get(index)).collect()
    }

    /// Returns the margin and the weight of a row. For a store, the ids are not read.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn numbers(&self, index: usize) -> Result<RowNumbers, DataError> {
        match self {
            Self::Memory(_) => self.get(index).map(|row| row.numbers()),
            Self::Store(store) => store.numbers(index),
        }
    }

    /// Returns the lengths of a row. Of a store, the ids are not read.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn lengths(&self, index: usize) -> Result<Lengths, DataError> {
        match self {
            Self::Memory(_) => self.get(index).map(|row| {
                let length = |ids: &[u32]| u32::try_from(ids.len()).unwrap_or(u32::MAX);
                let [prompt, first, second] = row.parts().map(length);
                Lengths {
                    prompt,
                    answers: [first, second],
                }
            }),
            Self::Store(store) => store.lengths(index),
        }
    }

    /// Returns all rows in order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = Result<Cow<'_, T>, DataError>> + '_> {
        match self {
            Self::Memory(rows) => Box::new(rows.iter().map(|row| Ok(Cow::Borrowed(row)))),
            Self::Store(store) => Box::new(store.iter().map(|row| row.map(Cow::Owned))),
        }
    }

    /// Returns the weight of a row in the loss, 1 if the row has none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn weight(&self, index: usize) -> Result<f64, DataError> {
        let numbers = self.numbers(index)?;
        Ok(f64::from(numbers.weight.unwrap_or(1.0)))
    }

    /// Returns a fingerprint of the rows: for rows in memory the result of `of_memory`, for a store
    /// the key of the store.
    pub fn fingerprint(&self, of_memory: impl FnOnce(&[T]) -> String) -> String {
        match self {
            Self::Memory(rows) => of_memory(rows),
            Self::Store(store) => format!("store {}", store.key()),
        }
    }
}

impl RowSource<TokenizedPair> {
    /// Returns the pairs without their margins.
    #[must_use]
    pub fn without_margins(self) -> Self {
        match self {
            Self::Memory(mut pairs) => {
                pairs.iter_mut().for_each(|pair| pair.margin = None);
                Self::Memory(pairs)
            }
            Self::Store(store) => Self::Store(store.without_margins()),
        }
    }
}
