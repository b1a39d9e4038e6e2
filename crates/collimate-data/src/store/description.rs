//! The description of a store, or of a part of a store, as JSON.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use collimate_files::atomic_write;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::row::Parts;
use super::{unreadable, wrong};
use crate::error::DataError;
use crate::tokenize::TokenizeReport;

/// Mark of the descriptions that this module writes.
const FORMAT: &str = "collimate token store";

/// Version of the files. A store of another version is not read.
const VERSION: u32 = 1;

/// Largest size of a description in bytes.
const LARGEST: usize = 64 << 20;

/// Content of `store.json` and `progress.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Description {
    format: String,
    version: u32,
    /// Kind of the rows ([`Parts::KIND`]).
    kind: String,
    pub(super) key: String,
    /// Number of input rows that were taken.
    pub(super) consumed: u64,
    /// Number of rows in the store.
    pub(super) rows: u64,
    /// Number of ids in the store.
    pub(super) ids: u64,
    /// Number of rows with a margin or a weight.
    pub(super) numbered: u64,
    pub(super) report: TokenizeReport,
    pub(super) about: Value,
}

/// A description in a folder.
pub(super) enum Found {
    Known(Box<Description>),
    /// Belongs to a store of another version.
    OtherVersion(u64),
}

impl Description {
    /// Describes a store without rows.
    pub(super) fn empty<T: Parts>(key: &str) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            kind: T::KIND.to_owned(),
            key: key.to_owned(),
            consumed: 0,
            rows: 0,
            ids: 0,
            numbered: 0,
            report: TokenizeReport::default(),
            about: Value::Null,
        }
    }

    /// Returns true if the rows are of type `T`.
    pub(super) fn holds<T: Parts>(&self) -> bool {
        self.kind == T::KIND
    }

    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// Replaces the file at `path` atomically.
    pub(super) fn write(&self, path: &Path) -> Result<(), DataError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| wrong(path, e.to_string()))?;
        // Only `about` can be too large or too deep. The store would never open.
        let readable = serde_json::from_slice::<Self>(&bytes);
        if bytes.len() > LARGEST || readable.is_err() {
            return Err(DataError::argument(
                "about",
                format!("{} bytes of JSON", bytes.len()),
                format!("at most {LARGEST} bytes, nested at most 100 deep"),
            ));
        }
        atomic_write(path, &bytes).map_err(|e| DataError::Io {
            path: e.path,
            what: "cannot be written".to_owned(),
            source: e.source,
        })
    }
}

/// Returns the description in a file, or `None` if the file does not exist.
pub(super) fn read(path: &Path) -> Result<Option<Found>, DataError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(unreadable(path))?,
    };
    let mut bytes = Vec::new();
    let mut limited = file.take(LARGEST as u64 + 1);
    limited.read_to_end(&mut bytes).map_err(unreadable(path))?;
    let damaged = |what: &str| {
        wrong(
            path,
            format!(
                "not the description of a token store ({what}): choose another folder, or delete \
                 this folder if it held a store"
            ),
        )
    };
    if bytes.len() > LARGEST {
        return Err(damaged("the file is too large"));
    }
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| damaged(&e.to_string()))?;
    if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err(damaged("the file lacks the mark of a store"));
    }
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => return Ok(Some(Found::OtherVersion(version))),
        None => return Err(damaged("the file lacks the version of the store")),
    }
    let known = serde_json::from_value(value).map_err(|e| damaged(&e.to_string()))?;
    Ok(Some(Found::Known(known)))
}
