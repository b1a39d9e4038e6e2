//! The journal, which holds every decision before it is answered.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use collimate_files::FileError;

use crate::error::LabelError;
use crate::event::Event;
use crate::session::Session;

/// Returns the path of the journal that belongs to a file of labels. The journal of `labels.jsonl`
/// is `labels.decisions.jsonl`.
pub fn journal_path(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".jsonl").unwrap_or(&name);
    out.with_file_name(format!("{stem}.decisions.jsonl"))
}

/// An open journal, locked against other programs.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Number of bytes in complete lines.
    length: u64,
}

/// Findings from opening a journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Number of decisions and undos that were read from the journal.
    pub events: usize,
    /// Number of bytes of a last line that a killed program left unfinished. These bytes were
    /// dropped.
    pub torn: usize,
}

impl Journal {
    /// Opens or creates a journal and applies its events to the session.
    pub(crate) fn open(path: &Path, session: &mut Session) -> Result<(Self, Resumed), LabelError> {
        let at = |source: io::Error| FileError {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(at)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = path.to_owned();
                return Err(LabelError::Locked { path });
            }
            Err(TryLockError::Error(error)) => return Err(at(error).into()),
        }
        let mut journal = Self {
            path: path.to_owned(),
            file,
            length: 0,
        };
        let mut bytes = Vec::new();
        journal.file.read_to_end(&mut bytes).map_err(at)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n');
        let whole = whole.map_or(0, |last| last + 1);
        let events = journal.replay(&bytes[..whole], session)?;
        journal.length = whole as u64;
        let torn = bytes.len() - whole;
        if torn > 0 {
            journal.cut().map_err(at)?;
        }
        if whole == 0 {
            journal.append(&session.begin())?;
            if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
                collimate_files::sync_folder(folder)?;
            }
        }
        Ok((journal, Resumed { events, torn }))
    }

    fn replay(&self, bytes: &[u8], session: &mut Session) -> Result<usize, LabelError> {
        let mut events = 0;
        for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let wrong = |what: String| LabelError::Journal {
                path: self.path.clone(),
                line: index + 1,
                what,
            };
            let event: Event = serde_json::from_slice(line).map_err(|error| {
                let text = error.to_string();
                let what = text.split(" at line ").next().unwrap_or(&text);
                wrong(format!(
                    "not a line of a journal ({what}): repair the line, or give another --out"
                ))
            })?;
            let begins = matches!(event, Event::Begin { .. });
            if begins != (index == 0) {
                return Err(wrong(
                    "a journal begins with one line `\"event\":\"begin\"`: repair the file, or give another \
                     --out"
                        .to_owned(),
                ));
            }
            session
                .apply(&event)
                .map_err(|error| wrong(error.to_string()))?;
            events += usize::from(!begins);
        }
        Ok(events)
    }

    /// Appends an event and waits until it is on disk.
    pub(crate) fn append(&mut self, event: &Event) -> Result<(), LabelError> {
        let path = self.path.clone();
        let at = |source: io::Error| FileError { path, source };
        let mut line = serde_json::to_vec(event).map_err(|error| at(error.into()))?;
        line.push(b'\n');
        let path = self.path.clone();
        match self.write(&line) {
            Ok(()) => {
                self.length += line.len() as u64;
                Ok(())
            }
            Err(source) => {
                // Half a line would spoil the next line. Only the first error is reported.
                let _ = self.cut();
                Err(FileError { path, source }.into())
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(line)?;
        self.file.sync_data()
    }

    /// Cuts the file after the last complete line.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.sync_data()
    }
}
