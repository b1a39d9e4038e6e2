//! Result rows and their file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Steps and values of a metric.
pub type Curve = Vec<(u64, f64)>;

/// Result of a cell. It contains no date, no name of a machine and no path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Name of the plan.
    pub plan: String,
    /// Id of the cell.
    pub id: String,
    /// Name of the cell.
    pub cell: String,
    /// Value on every axis.
    pub axes: BTreeMap<String, Value>,
    /// Commit that was checked out when the runner started.
    pub commit: Option<String>,
    /// True if tracked files other than results differed from the commit.
    pub dirty: bool,
    /// Twelve hex digits of the hash of the program.
    pub binary: String,
    /// Hash of the program that began the cell, if another one finished it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// True if the cell was interrupted and resumed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// System, processor and number of cores.
    pub machine: String,
    /// Number of threads of the program; absent if it was not limited.
    pub threads: Option<usize>,
    /// Seconds of the last start.
    pub seconds: f64,
    /// Exit status of the program; absent if a signal ended it.
    pub status: Option<i32>,
    /// Kept numbers of `summary.json`.
    pub fields: BTreeMap<String, Value>,
    /// Kept metrics: step and value of every logged step.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub curves: BTreeMap<String, Curve>,
}

impl Row {
    /// Returns true if the cell has a result.
    pub fn is_ok(&self) -> bool {
        self.status == Some(0)
    }
}

/// Reads the rows of a file, one JSON line each; without a file there are none. A last line without
/// an end of line does not count: a killed runner left it unfinished.
///
/// # Errors
/// Returns an error if the file cannot be read, or a finished line is not a row.
pub fn read_rows(path: &Path) -> Result<Vec<Row>> {
    let text = finished(path)?;
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            let named = || format!("{}:{}: not a result", path.display(), index + 1);
            serde_json::from_str(line).with_context(named)
        })
        .collect()
}

/// Returns the newest row of each cell, by id.
pub(crate) fn newest(rows: &[Row]) -> BTreeMap<&str, &Row> {
    rows.iter().map(|row| (row.id.as_str(), row)).collect()
}

/// Appends a row; an unfinished last line of a killed runner is replaced.
pub(crate) fn append(path: &Path, row: &Row) -> Result<()> {
    let before = finished(path)?.len();
    let line = serde_json::to_string(row)? + "\n";
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        let mut file = File::options().create(true).append(true).open(path)?;
        file.set_len(before as u64)?;
        file.write_all(line.as_bytes())?;
        file.sync_data()
    };
    write().with_context(|| path.display().to_string())
}

/// Reads the finished lines of a file.
fn finished(path: &Path) -> Result<String> {
    let mut text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        text => text.with_context(|| path.display().to_string())?,
    };
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    Ok(text)
}
