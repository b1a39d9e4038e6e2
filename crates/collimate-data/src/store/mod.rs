//! Token ids of many rows in a folder, read row by row.
//!
//! ```text
//! ids.u32        all ids, one row after the other: prompt, first answer, second answer
//! rows.bin       one record of 32 bytes per row: place and lengths of the ids, flags, numbers
//! store.json     the description, written last: a folder without it holds no store
//! progress.json  the description at the last checkpoint, while the store is built
//! store.lock     an empty file that the builder locks
//! ```
//! All numbers are little-endian.

mod block;
mod builder;
mod description;
mod folder;
mod key;
mod placed;
mod record;
mod row;
mod rows;
mod texts;
mod token_store;

use std::io;
use std::path::Path;

pub use builder::StoreBuilder;
pub use folder::Begun;
pub use key::StoreKey;
pub use row::{Lengths, RowNumbers, StoredRow};
pub use rows::StoredRows;
pub use texts::StorePlan;
pub use token_store::TokenStore;

use crate::error::DataError;

const IDS: &str = "ids.u32";
const ROWS: &str = "rows.bin";
const STORE: &str = "store.json";
const PROGRESS: &str = "progress.json";
const LOCK: &str = "store.lock";

/// Bytes of an id in `ids.u32`.
const ID_BYTES: u64 = 4;

/// Returns the error of a folder or file that is not (part of) a token store.
fn wrong(path: &Path, what: impl Into<String>) -> DataError {
    DataError::Store {
        path: path.to_owned(),
        what: what.into(),
    }
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> DataError {
    failed(path, "cannot be read")
}

fn unwritable(path: &Path) -> impl Fn(io::Error) -> DataError {
    failed(path, "cannot be written")
}

fn failed(path: &Path, what: &'static str) -> impl Fn(io::Error) -> DataError {
    move |source| DataError::Io {
        path: path.to_owned(),
        what: what.to_owned(),
        source,
    }
}
