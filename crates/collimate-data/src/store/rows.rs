//! A pass over the rows of a store in order.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::marker::PhantomData;
use std::sync::Arc;

use super::placed::Placed;
use super::record::{RECORD, Record};
use super::row::StoredRow;
use super::token_store::{Inner, masked, row};
use super::{IDS, ROWS, unreadable};
use crate::error::DataError;

/// Bytes that are read at once.
const BLOCK: usize = 256 << 10;

/// All rows of a store in order. See [`TokenStore::iter`](super::TokenStore::iter).
///
/// The first error ends the pass.
pub struct StoredRows<T> {
    store: Arc<Inner>,
    ids: BufReader<Part>,
    records: BufReader<Part>,
    /// Record of the next row, read ahead.
    ahead: Option<Record>,
    /// If true, rows have their margins.
    margins: bool,
    /// Number of rows that were returned.
    done: u64,
    /// Number of rows, or `done` after an error.
    rows: u64,
    row: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for StoredRows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredRows")
            .field("folder", &self.store.dir)
            .field("done", &self.done)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl<T: StoredRow> StoredRows<T> {
    pub(super) fn new(store: Arc<Inner>, margins: bool) -> Self {
        let part = |of: fn(&Inner) -> &Placed| {
            let store = Arc::clone(&store);
            BufReader::with_capacity(BLOCK, Part { store, of, at: 0 })
        };
        Self {
            ids: part(|store| &store.ids),
            records: part(|store| &store.records),
            ahead: None,
            margins,
            done: 0,
            rows: store.description.rows,
            row: PhantomData,
            store,
        }
    }

    fn read(&mut self) -> Result<T, DataError> {
        let record = match self.ahead.take() {
            Some(record) => record,
            None => self.record(self.done)?,
        };
        let following = self.done + 1;
        let end = if following < self.store.description.rows {
            let next = self.record(following)?;
            self.ahead = Some(next);
            next.offset
        } else {
            self.store.description.ids
        };
        self.store.check::<T>(&record, end, self.done)?;
        let mut bytes = self.store.room(&record)?;
        let read = self.ids.read_exact(&mut bytes);
        read.map_err(unreadable(&self.store.dir.join(IDS)))?;
        Ok(row(&masked(record, self.margins), &bytes))
    }

    /// Reads the record at the present place, which is that of row `at`.
    fn record(&mut self, at: u64) -> Result<Record, DataError> {
        let mut bytes = [0; RECORD];
        let read = self.records.read_exact(&mut bytes);
        read.map_err(unreadable(&self.store.dir.join(ROWS)))?;
        self.store.parsed(bytes, at)
    }
}

impl<T: StoredRow> Iterator for StoredRows<T> {
    type Item = Result<T, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done >= self.rows {
            return None;
        }
        let read = self.read();
        match &read {
            Ok(_) => self.done += 1,
            Err(_) => self.rows = self.done,
        }
        Some(read)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rows - self.done;
        // An error may end the pass.
        (usize::from(left > 0), usize::try_from(left).ok())
    }
}

/// A file of a store that is read from its beginning.
struct Part {
    store: Arc<Inner>,
    of: fn(&Inner) -> &Placed,
    at: u64,
}

impl Read for Part {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = (self.of)(&self.store).read_at(bytes, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
