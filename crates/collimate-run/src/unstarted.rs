//! Runs that ended before their first step.

use std::fs;
use std::path::Path;

use collimate_files::{UNFINISHED, entries};

use crate::folder::{LOCK, lock};
use crate::journal::Journal;
use crate::{RunError, RunFolder};

/// Files that a run has before its first step.
const BEFORE: [&str; 4] = [
    "config.json",
    "journal.json",
    "metrics.jsonl",
    "saving.json",
];

/// Folder of the log-probabilities of references, which the next run computes again.
const REFERENCES: &str = "references";

/// Folder of checkpoints.
const CHECKPOINTS: &str = "checkpoints";

impl RunFolder {
    /// Removes a run that ended before its first step. Such a run has no stage with a result, no
    /// metrics and no checkpoints, but may have log-probabilities of references. Returns true if
    /// the folder is then free for another run. A folder stays as it is if it holds anything else,
    /// or if another process holds it open.
    ///
    /// # Errors
    /// If the folder cannot be read, or a file cannot be removed.
    ///
    /// # Examples
    /// ```
    /// use collimate_run::RunFolder;
    /// # fn main() -> Result<(), collimate_run::RunError> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("run");
    /// let mut run = RunFolder::create(&path, &serde_json::json!({ "seed": 1 }))?;
    /// run.stage("sft", "the inputs")?;
    /// assert!(!RunFolder::clear_unstarted(&path)?);
    /// drop(run);
    /// assert!(RunFolder::clear_unstarted(&path)?);
    /// let again = RunFolder::create(&path, &serde_json::json!({ "seed": 2 }))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn clear_unstarted(path: &Path) -> Result<bool, RunError> {
        // A folder without a lock file was not created by a run.
        if !path.join(LOCK).exists() {
            return Ok(false);
        }
        let _lock = match lock(path) {
            Err(RunError::Locked { .. }) => return Ok(false),
            lock => lock?,
        };
        if !is_unstarted(path)? {
            return Ok(false);
        }
        for name in BEFORE {
            let file = path.join(name);
            if file.exists() {
                fs::remove_file(&file).map_err(RunError::io(&file))?;
            }
        }
        for name in [CHECKPOINTS, REFERENCES] {
            let folder = path.join(name);
            if folder.exists() {
                fs::remove_dir_all(&folder).map_err(RunError::io(&folder))?;
            }
        }
        Ok(true)
    }
}

/// Returns true if a run folder has no finished step, no result and no foreign file.
fn is_unstarted(path: &Path) -> Result<bool, RunError> {
    for entry in entries(path)? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        let of_start = [LOCK, REFERENCES].contains(&&*name) || BEFORE.contains(&&*name);
        let unused =
            of_start || name.starts_with(UNFINISHED) || name == CHECKPOINTS && is_empty(&entry)?;
        if !unused {
            return Ok(false);
        }
    }
    let metrics = path.join("metrics.jsonl");
    if fs::metadata(&metrics).is_ok_and(|found| found.len() > 0) {
        return Ok(false);
    }
    // A journal that cannot be read may hold results.
    let journal = Journal::read(&path.join("journal.json"));
    Ok(journal.is_ok_and(|journal| journal.stages.iter().all(|entry| entry.result.is_none())))
}

/// Returns true for a folder that holds no files, even in nested folders.
fn is_empty(path: &Path) -> Result<bool, RunError> {
    for entry in entries(path)? {
        let is_folder = fs::symlink_metadata(&entry).is_ok_and(|found| found.is_dir());
        if !is_folder || !is_empty(&entry)? {
            return Ok(false);
        }
    }
    Ok(true)
}
