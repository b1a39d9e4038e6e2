//! Writes a store.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::description::Description;
use super::folder::remove;
use super::record::{RECORD, Record};
use super::row::{Lengths, RowNumbers, StoredRow};
use super::token_store::TokenStore;
use super::{ID_BYTES, IDS, PROGRESS, ROWS, STORE, unwritable, wrong};
use crate::error::DataError;
use crate::tokenize::TokenizeReport;

/// Bytes that are written at once.
const BLOCK: usize = 1 << 20;

/// Input rows between two checkpoints.
const ROWS_BETWEEN: u64 = 65_536;

/// Number of ids between two checkpoints: 32 MiB of ids.
const IDS_BETWEEN: u64 = (32 << 20) / ID_BYTES;

/// Writes a store, row by row.
///
/// A builder makes a checkpoint about every 65,536 input rows or 32 MiB of ids. After a stop at any
/// moment, [`begin`](Self::begin) continues at the last checkpoint. The finished files do not
/// depend on the stops.
///
/// # Examples
/// ```
/// use collimate_data::{Begun, StoreBuilder, StoreKey, TokenizeReport, TokenizedPair};
/// let dir = std::env::temp_dir().join(format!("collimate-store-{}", std::process::id()));
/// let key = StoreKey::new("pairs").text("two rows").finish();
/// let mut builder = match StoreBuilder::begin(&dir, &key)? {
///     Begun::Building(builder) => builder,
///     Begun::Complete(_) => unreachable!("the folder is new"),
/// };
/// for id in builder.consumed() as u32..2 {
///     let pair = TokenizedPair {
///         prompt: vec![1], chosen: vec![id, 2], rejected: vec![2], margin: Some(0.5), ..Default::default()
///     };
///     builder.push(&pair)?;
///     builder.rows_done(1, &TokenizeReport { pairs: id as usize + 1, ..Default::default() })?;
/// }
/// let report = *builder.report();
/// let store = builder.finish(report, serde_json::json!({"file": "pairs.jsonl"}))?;
/// assert_eq!((store.len(), store.get(1)?.chosen), (2, vec![1, 2]));
/// assert_eq!(store.numbers(1)?.margin, Some(0.5));
/// assert!(matches!(StoreBuilder::<TokenizedPair>::begin(&dir, &key)?, Begun::Complete(_)));
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StoreBuilder<T> {
    dir: PathBuf,
    // The buffers are written when they are dropped. The lock must end after that, so the lock is
    // the last field.
    ids: BufWriter<File>,
    records: BufWriter<File>,
    /// State after the last rows that are done.
    done: Box<Description>,
    /// State after the last row that was pushed.
    pushed: Counts,
    /// Input rows and ids at the last checkpoint.
    saved: (u64, u64),
    /// Bytes of the ids of a row.
    bytes: Vec<u8>,
    row: PhantomData<fn(&T)>,
    _lock: File,
}

/// Numbers of written things.
#[derive(Debug, Clone, Copy)]
struct Counts {
    rows: u64,
    ids: u64,
    numbered: u64,
}

impl<T> fmt::Debug for StoreBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBuilder")
            .field("folder", &self.dir)
            .field("key", &self.done.key)
            .field("consumed", &self.done.consumed)
            .finish_non_exhaustive()
    }
}

impl<T: StoredRow> StoreBuilder<T> {
    /// Continues at a checkpoint. What was written after the checkpoint is cut off.
    pub(super) fn open(dir: &Path, done: Box<Description>, lock: File) -> Result<Self, DataError> {
        Ok(Self {
            ids: continued(&dir.join(IDS), done.ids.checked_mul(ID_BYTES))?,
            records: continued(&dir.join(ROWS), done.rows.checked_mul(RECORD as u64))?,
            pushed: Counts {
                rows: done.rows,
                ids: done.ids,
                numbered: done.numbered,
            },
            saved: (done.consumed, done.ids),
            done,
            bytes: Vec::new(),
            row: PhantomData,
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    /// Returns the number of input rows that are done. The caller leaves out so many rows at the
    /// beginning of the input.
    pub fn consumed(&self) -> u64 {
        self.done.consumed
    }

    /// Returns the counts of the input rows that are done.
    pub fn report(&self) -> &TokenizeReport {
        &self.done.report
    }

    /// Writes a row.
    ///
    /// # Errors
    /// [`DataError::Argument`] for a number that is not finite, and for a part of more than 2^32 - 1
    /// ids. [`DataError::Io`] if a file cannot be written. After this error, drop the
    /// builder and call [`begin`](Self::begin) again.
    pub fn push(&mut self, row: &T) -> Result<(), DataError> {
        let numbers = row.numbers();
        check(numbers)?;
        let parts = row.parts();
        let mut lengths = [0; 3];
        for (length, part) in lengths.iter_mut().zip(parts) {
            *length = u32::try_from(part.len()).map_err(|_| {
                DataError::argument("row", part.len(), "a part has at most 2^32 - 1 ids")
            })?;
        }
        let [prompt, first, second] = lengths;
        let record = Record {
            offset: self.pushed.ids,
            lengths: Lengths {
                prompt,
                answers: [first, second],
            },
            truncated: row.truncated(),
            numbers,
        };
        self.bytes.clear();
        for part in parts {
            let from = self.bytes.len();
            self.bytes.resize(from + size_of_val(part), 0);
            let (to, _) = self.bytes[from..].as_chunks_mut();
            for (to, id) in to.iter_mut().zip(part) {
                *to = id.to_le_bytes();
            }
        }
        let written = self.ids.write_all(&self.bytes);
        written.map_err(unwritable(&self.dir.join(IDS)))?;
        let written = self.records.write_all(&record.to_bytes());
        written.map_err(unwritable(&self.dir.join(ROWS)))?;
        self.pushed.rows += 1;
        self.pushed.ids += record.lengths.total();
        self.pushed.numbered += u64::from(numbers.has_any());
        Ok(())
    }

    /// Marks the next `count` rows of the input as done. Before this call, push every row that these
    /// input rows give. `report` counts all rows that are done.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint), which this calls from time to time.
    pub fn rows_done(&mut self, count: u64, report: &TokenizeReport) -> Result<(), DataError> {
        self.done.consumed += count;
        self.mark(*report);
        let (rows, ids) = self.saved;
        if self.done.consumed - rows >= ROWS_BETWEEN || self.done.ids - ids >= IDS_BETWEEN {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Makes the rows that are done durable. A later build continues after them.
    ///
    /// # Errors
    /// [`DataError::Io`] if a file cannot be written. [`DataError::Store`] if another program has
    /// changed the files.
    pub fn checkpoint(&mut self) -> Result<(), DataError> {
        self.sync()?;
        self.done.write(&self.dir.join(PROGRESS))?;
        self.saved = (self.done.consumed, self.done.ids);
        Ok(())
    }

    /// Completes the store. `report` counts all rows of the input, and `about` is kept as it is
    /// ([`TokenStore::about`]).
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint). [`DataError::Argument`] for a value `about` of more
    /// than 64 MiB, or nested more than 100 deep.
    pub fn finish(
        mut self,
        report: TokenizeReport,
        about: Value,
    ) -> Result<TokenStore<T>, DataError> {
        self.mark(report);
        self.done.about = about;
        self.sync()?;
        self.done.write(&self.dir.join(STORE))?;
        remove(&self.dir.join(PROGRESS))?;
        TokenStore::open(&self.dir)
    }

    /// Takes the rows pushed so far as done.
    fn mark(&mut self, report: TokenizeReport) {
        self.done.rows = self.pushed.rows;
        self.done.ids = self.pushed.ids;
        self.done.numbered = self.pushed.numbered;
        self.done.report = report;
    }

    /// Writes the buffers to the disk.
    fn sync(&mut self) -> Result<(), DataError> {
        let (ids, rows) = (self.pushed.ids, self.pushed.rows);
        for (name, file, size) in [
            (IDS, &mut self.ids, ids * ID_BYTES),
            (ROWS, &mut self.records, rows * RECORD as u64),
        ] {
            let path = self.dir.join(name);
            file.flush().map_err(unwritable(&path))?;
            let file = file.get_ref();
            file.sync_data().map_err(unwritable(&path))?;
            // After a failed `push` the records do not fit the ids.
            let found = file.metadata().map_err(unwritable(&path))?.len();
            if found != size {
                let what = format!(
                    "the file has {found} bytes, but {size} were written: a write has failed, or \
                     another program has changed the file: build the store again"
                );
                return Err(wrong(&path, what));
            }
        }
        Ok(())
    }
}

/// Opens a file for writing at the byte `size`, and cuts off the rest.
fn continued(path: &Path, size: Option<u64>) -> Result<BufWriter<File>, DataError> {
    let fail = unwritable(path);
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(&fail)?;
    let found = file.metadata().map_err(&fail)?.len();
    let Some(size) = size.filter(|&size| size <= found) else {
        let what = format!(
            "the file has only {found} bytes, but the store has more: delete the folder and build \
             the store again"
        );
        return Err(wrong(path, what));
    };
    file.set_len(size).map_err(&fail)?;
    file.seek(SeekFrom::Start(size)).map_err(&fail)?;
    Ok(BufWriter::with_capacity(BLOCK, file))
}

/// Refuses numbers that training cannot use.
fn check(numbers: RowNumbers) -> Result<(), DataError> {
    for (name, number) in [("margin", numbers.margin), ("weight", numbers.weight)] {
        if let Some(number) = number.filter(|number| !number.is_finite()) {
            return Err(DataError::argument(name, number, "must be a finite number"));
        }
    }
    Ok(())
}
