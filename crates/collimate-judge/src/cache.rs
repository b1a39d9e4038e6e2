//! Judgements on disk, so that no question is asked twice.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use collimate_core::{Completion, Finish};
use serde::{Deserialize, Serialize};

use crate::error::JudgeError;

/// A JSONL file of judgements, one per line, with the hash of all inputs as key.
///
/// Judgements are appended batch by batch, each batch in one synced write. A process that is killed
/// while writing leaves an incomplete last line. The next process drops that line with a warning.
/// Any other line that cannot be read is an error. If a key occurs twice, the first line counts.
///
/// Several judges may share a `Cache`, and several processes a file. A lock on the file separates
/// their writes if the file system supports locks. A process reads the judgements of others only
/// when it opens the file. Two processes that run side by side may therefore ask the same question.
///
/// The file stores the text of a judgement, not its score, so a change of the parser costs nothing.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    entries: HashMap<String, Completion>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    text: String,
    finish: Finish,
}

impl Cache {
    /// Opens a cache file, or creates an empty one.
    ///
    /// # Errors
    /// [`JudgeError::Cache`] if the file cannot be read and written. [`JudgeError::CacheLine`] for
    /// a line, except an incomplete last one, that no judge has written.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JudgeError> {
        let path = path.into();
        let failed = |source| failure(&path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let bytes = locked(&mut file, |file| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let whole = whole_lines(&bytes);
            if whole < bytes.len() {
                tracing::warn!(
                    file = %path.display(),
                    bytes = bytes.len() - whole,
                    "the last line of the judge's cache is incomplete and is dropped"
                );
                file.set_len(whole as u64)?;
                bytes.truncate(whole);
            }
            Ok(bytes)
        })
        .map_err(failed)?;
        let entries = read(&path, &bytes)?;
        let state = Mutex::new(State { file, entries });
        Ok(Self { path, state })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of judgements.
    pub fn len(&self) -> usize {
        self.state().entries.len()
    }

    /// Returns true if there are no judgements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&self, key: &str) -> Option<Completion> {
        self.state().entries.get(key).cloned()
    }

    /// Appends all judgements or none of them.
    pub(crate) fn append(&self, new: &[(String, Completion)]) -> Result<(), JudgeError> {
        let mut lines = Vec::new();
        for (key, judgement) in new {
            let line = Line {
                key: key.clone(),
                text: judgement.text.clone(),
                finish: judgement.finish,
            };
            serde_json::to_writer(&mut lines, &line)
                .map_err(|error| failure(&self.path, error.into()))?;
            lines.push(b'\n');
        }
        let mut state = self.state();
        locked(&mut state.file, |file| append_lines(file, &lines))
            .map_err(|source| failure(&self.path, source))?;
        for (key, judgement) in new {
            let entries = &mut state.entries;
            entries
                .entry(key.clone())
                .or_insert_with(|| judgement.clone());
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Entries are only added as a whole, so the map stays valid after a panic in another
        // thread.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failure(path: &Path, source: io::Error) -> JudgeError {
    JudgeError::Cache {
        path: path.to_owned(),
        source,
    }
}

/// Runs `work` on the file while it is locked against other processes.
fn locked<T>(file: &mut File, work: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
    match file.lock() {
        Ok(()) => {}
        // Without locks, the user must ensure that only one process writes.
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        Err(error) => return Err(error),
    }
    let done = work(file);
    // Closing the file also releases the lock, so an error here does not matter.
    let _ = file.unlock();
    done
}

fn append_lines(file: &mut File, lines: &[u8]) -> io::Result<()> {
    let mut end = file.seek(SeekFrom::End(0))?;
    if end > 0 {
        // Another process may have been killed during a write after this process opened the file.
        file.seek(SeekFrom::Start(end - 1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut bytes)?;
            end = whole_lines(&bytes) as u64;
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))?;
        }
    }
    let written = file.write_all(lines).and_then(|()| file.sync_data());
    if written.is_err() {
        // If a batch does not fit, remove all of it. The first error is the one to report.
        let _ = file.set_len(end);
    }
    written
}

/// Returns the number of bytes up to the last line end.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1)
}

fn read(path: &Path, bytes: &[u8]) -> Result<HashMap<String, Completion>, JudgeError> {
    let mut entries = HashMap::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(line).map_err(|error| JudgeError::CacheLine {
            path: path.to_owned(),
            line: index + 1,
            message: error.to_string(),
        })?;
        entries.entry(line.key).or_insert(Completion {
            text: line.text,
            tokens: None,
            finish: line.finish,
        });
    }
    Ok(entries)
}
