//! Reads a store.

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::description::{self, Description, Found};
use super::placed::Placed;
use super::record::{RECORD, Record};
use super::row::{Lengths, Parts, RowNumbers, StoredRow};
use super::rows::StoredRows;
use super::{ID_BYTES, IDS, ROWS, STORE, unreadable, wrong};
use crate::error::DataError;
use crate::tokenize::TokenizeReport;

/// Token ids of many rows in a folder. The ids stay on the disk, so a store needs the same memory
/// for any number of rows.
///
/// A store is complete and does not change. Clones share the open files, and several threads may
/// read at once. [`StoreBuilder`](super::StoreBuilder),
/// [`TextTokenizer::store_pairs`](crate::TextTokenizer::store_pairs) and
/// [`TextTokenizer::store_examples`](crate::TextTokenizer::store_examples) write stores.
pub struct TokenStore<T> {
    inner: Arc<Inner>,
    /// If true, rows have their margins.
    margins: bool,
    rows: PhantomData<fn() -> T>,
}

pub(super) struct Inner {
    pub(super) dir: PathBuf,
    pub(super) description: Box<Description>,
    pub(super) ids: Placed,
    pub(super) records: Placed,
}

impl<T> Clone for TokenStore<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            margins: self.margins,
            rows: PhantomData,
        }
    }
}

impl<T> fmt::Debug for TokenStore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenStore")
            .field("folder", &self.inner.dir)
            .field("kind", &self.inner.description.kind())
            .field("key", &self.inner.description.key)
            .field("rows", &self.inner.description.rows)
            .finish_non_exhaustive()
    }
}

impl<T: StoredRow> TokenStore<T> {
    /// Opens a complete store.
    ///
    /// # Errors
    /// [`DataError::Store`] for a folder without a complete store, for a store of another kind of
    /// rows or another version, and for files that were cut or have grown. [`DataError::Io`] if a
    /// file cannot be read.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, DataError> {
        let dir = dir.as_ref();
        let path = dir.join(STORE);
        let description = match description::read(&path)? {
            None => {
                let what = "no complete token store in this folder: build the store";
                return Err(wrong(dir, what));
            }
            Some(Found::OtherVersion(version)) => {
                let what = format!(
                    "the store has version {version}, which this program does not read: delete the \
                     folder and build the store again"
                );
                return Err(wrong(dir, what));
            }
            Some(Found::Known(about)) => about,
        };
        if !description.holds::<T>() {
            let what = format!("the store holds {}, not {}", description.kind(), T::KIND);
            return Err(wrong(dir, what));
        }
        let ids = sized(&dir.join(IDS), description.ids.checked_mul(ID_BYTES))?;
        let records = sized(&dir.join(ROWS), description.rows.checked_mul(RECORD as u64))?;
        Ok(Self {
            inner: Arc::new(Inner {
                dir: dir.to_owned(),
                description,
                ids,
                records,
            }),
            margins: true,
            rows: PhantomData,
        })
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        // Files of more rows than `usize` can count do not open.
        usize::try_from(self.inner.description.rows).unwrap_or(usize::MAX)
    }

    /// Returns true if the store has no rows.
    pub fn is_empty(&self) -> bool {
        self.inner.description.rows == 0
    }

    /// Returns the key of the content that the store was built from.
    pub fn key(&self) -> &str {
        &self.inner.description.key
    }

    /// Returns the counts of the tokenisation. They include the pairs with equal answers, which
    /// the store leaves out.
    pub fn report(&self) -> &TokenizeReport {
        &self.inner.description.report
    }

    /// Returns what the builder of the store has noted about the store.
    pub fn about(&self) -> &Value {
        &self.inner.description.about
    }

    /// Returns the folder of the store.
    pub fn folder(&self) -> &Path {
        &self.inner.dir
    }

    /// Returns true if a row has a margin or a weight.
    pub fn has_numbers(&self) -> bool {
        self.inner.description.numbered > 0
    }

    /// Returns the store without the margins of its rows. The files do not change.
    #[must_use]
    pub fn without_margins(self) -> Self {
        Self {
            margins: false,
            ..self
        }
    }

    fn record(&self, index: usize) -> Result<Record, DataError> {
        let record = self.inner.record::<T>(index)?;
        Ok(masked(record, self.margins))
    }

    /// Reads a row.
    ///
    /// # Errors
    /// [`DataError::Argument`] for an index that is not below [`len`](Self::len).
    /// [`DataError::Store`] for a damaged row. [`DataError::Io`] if a file cannot be read.
    pub fn get(&self, index: usize) -> Result<T, DataError> {
        let record = self.record(index)?;
        let mut bytes = self.inner.room(&record)?;
        let read = self
            .inner
            .ids
            .read_exact_at(&mut bytes, record.offset * ID_BYTES);
        read.map_err(unreadable(&self.inner.dir.join(IDS)))?;
        Ok(row(&record, &bytes))
    }

    /// Reads the numbers of a row.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn numbers(&self, index: usize) -> Result<RowNumbers, DataError> {
        Ok(self.record(index)?.numbers)
    }

    /// Reads the lengths of a row. The ids of the row are not read.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn lengths(&self, index: usize) -> Result<Lengths, DataError> {
        Ok(self.record(index)?.lengths)
    }

    /// Returns all rows in order. They are read in blocks, so a pass needs constant memory.
    pub fn iter(&self) -> StoredRows<T> {
        StoredRows::new(Arc::clone(&self.inner), self.margins)
    }
}

impl<T: StoredRow> IntoIterator for &TokenStore<T> {
    type Item = Result<T, DataError>;
    type IntoIter = StoredRows<T>;

    fn into_iter(self) -> StoredRows<T> {
        self.iter()
    }
}

impl Inner {
    /// Reads the record of a row.
    fn record<T: Parts>(&self, index: usize) -> Result<Record, DataError> {
        let rows = self.description.rows;
        let at = index as u64;
        if at >= rows {
            let rule = format!("below the number of rows, {rows}");
            return Err(DataError::argument("index", index, rule));
        }
        // The next record tells where the ids of this row end.
        let mut two = [0; 2 * RECORD];
        let last = at + 1 == rows;
        let bytes = if last { &mut two[..RECORD] } else { &mut two };
        let read = self.records.read_exact_at(bytes, at * RECORD as u64);
        read.map_err(unreadable(&self.dir.join(ROWS)))?;
        let [first, second] = two.as_chunks().0 else {
            return Err(self.damaged(at));
        };
        let record = self.parsed(*first, at)?;
        let end = match last {
            true => self.description.ids,
            false => self.parsed(*second, at + 1)?.offset,
        };
        self.check::<T>(&record, end, at)?;
        Ok(record)
    }

    /// Reads the bytes of the record of row `at`.
    pub(super) fn parsed(&self, bytes: [u8; RECORD], at: u64) -> Result<Record, DataError> {
        Record::of(bytes).ok_or_else(|| self.damaged(at))
    }

    /// Refuses a record whose ids do not end at `end`. Ids of the first row begin at 0.
    pub(super) fn check<T: Parts>(
        &self,
        record: &Record,
        end: u64,
        at: u64,
    ) -> Result<(), DataError> {
        let begins = at > 0 || record.offset == 0;
        let ends = record.end() == Some(end) && end <= self.description.ids;
        let unused = &record.lengths.answers[T::ANSWERS..];
        if begins && ends && unused.iter().all(|&length| length == 0) {
            Ok(())
        } else {
            Err(self.damaged(at))
        }
    }

    /// Returns zeros for the ids of a row that was checked.
    pub(super) fn room(&self, record: &Record) -> Result<Vec<u8>, DataError> {
        let size = usize::try_from(record.lengths.total() * ID_BYTES);
        let size = size.map_err(|_| wrong(&self.dir, "a row is larger than the memory"))?;
        Ok(vec![0; size])
    }

    fn damaged(&self, at: u64) -> DataError {
        wrong(
            &self.dir.join(ROWS),
            format!("row {at} is damaged: delete the folder and build the store again"),
        )
    }
}

/// Returns a record without the margin, unless margins are wanted.
pub(super) fn masked(record: Record, margins: bool) -> Record {
    let mut masked = record;
    masked.numbers.margin = record.numbers.margin.filter(|_| margins);
    masked
}

/// Makes a row from the bytes of its ids.
pub(super) fn row<T: Parts>(record: &Record, bytes: &[u8]) -> T {
    let mut ids = bytes.as_chunks().0.iter().map(|id| u32::from_le_bytes(*id));
    let [first, second] = record.lengths.answers;
    let parts = [record.lengths.prompt, first, second]
        .map(|length| ids.by_ref().take(length as usize).collect());
    T::of(parts, record.truncated, record.numbers)
}

/// Opens a file that must have a size in bytes. `None` is a size that no file has.
fn sized(path: &Path, size: Option<u64>) -> Result<Placed, DataError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let what = "the file is missing: delete the folder and build the store again";
            return Err(wrong(path, what));
        }
        file => file.map_err(unreadable(path))?,
    };
    let found = file.metadata().map_err(unreadable(path))?.len();
    if size != Some(found) {
        let size = size.map_or_else(|| "more".to_owned(), |size| size.to_string());
        let what = format!(
            "the file has {found} bytes, but the store has {size}: delete the folder and build \
             the store again"
        );
        return Err(wrong(path, what));
    }
    Ok(Placed::new(file))
}
