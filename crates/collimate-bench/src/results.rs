//! Result rows and their file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BenchError, Cell};

/// What came out of a cell. There is no date, host or path in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Name of the plan.
    pub plan: String,
    /// Id of the cell.
    pub id: String,
    /// Name of the cell.
    pub cell: String,
    /// Where it lies on the axes.
    pub axes: BTreeMap<String, Value>,
    /// Commit that was checked out when the runner started.
    pub commit: Option<String>,
    /// Whether tracked files differed from it, results aside.
    pub dirty: bool,
    /// Twelve hex digits of the program's hash.
    pub binary: String,
    /// `binary` of the program that began the cell, where another one finished it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// Whether the cell was interrupted and went on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// Threads of the program; absent if it had all.
    pub threads: Option<usize>,
    /// Seconds of all its starts that a runner saw end.
    pub seconds: f64,
    /// The program's exit status; absent if a signal ended it.
    pub status: Option<i32>,
    /// Why it failed: the last line of its standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The kept fields of its `summary.json`.
    #[serde(default)]
    pub fields: BTreeMap<String, Value>,
}

impl Row {
    /// Whether the cell has a result.
    pub fn is_ok(&self) -> bool {
        self.status == Some(0) && self.error.is_none()
    }
}

/// A file of rows, one JSON line each. Any number of runners may append to it at once.
#[derive(Debug, Clone)]
pub struct Results {
    path: PathBuf,
}

impl Results {
    /// The file at `path`; it need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All rows in the file's order. A last line without its end is what a killed runner was
    /// writing; it does not count.
    ///
    /// # Errors
    /// When the file cannot be read or a finished line is not a row.
    pub fn rows(&self) -> Result<Vec<Row>, BenchError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(BenchError::io(&self.path)(error)),
        };
        let finished = text.rfind('\n').map_or("", |end| &text[..end]);
        finished
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(index, line)| {
                serde_json::from_str(line).map_err(|error| BenchError::Row {
                    path: self.path.clone(),
                    line: index + 1,
                    reason: error.to_string(),
                })
            })
            .collect()
    }

    /// The newest row of each of the cells.
    ///
    /// # Errors
    /// As [`Results::rows`].
    pub fn of(&self, cells: &[Cell]) -> Result<BTreeMap<String, Row>, BenchError> {
        let ids: BTreeSet<&str> = cells.iter().map(|cell| cell.id.as_str()).collect();
        let rows = self.rows()?.into_iter();
        Ok(rows
            .filter(|row| ids.contains(row.id.as_str()))
            .map(|row| (row.id.clone(), row))
            .collect())
    }

    /// Appends a row by one write under the file's lock.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&self, row: &Row) -> Result<(), BenchError> {
        let path = &self.path;
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(BenchError::io(folder))?;
        }
        let mut file = File::options()
            .create(true)
            .read(true)
            .append(true)
            .open(path)
            .map_err(BenchError::io(path))?;
        file.lock().map_err(BenchError::io(path))?;
        // What a killed runner left of a row must not become part of this one.
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(BenchError::io(path))?;
        let finished = text
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        if finished < text.len() {
            file.set_len(finished as u64)
                .map_err(BenchError::io(path))?;
        }
        let mut line = serde_json::to_vec(row)
            .map_err(|error| BenchError::io(path)(std::io::Error::other(error)))?;
        line.push(b'\n');
        file.write_all(&line).map_err(BenchError::io(path))?;
        file.sync_data().map_err(BenchError::io(path))
    }
}
