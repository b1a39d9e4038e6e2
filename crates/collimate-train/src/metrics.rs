//! The log `metrics.jsonl`, with one line per logged step.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use collimate_files::atomic_write;
use serde_json::{Map, Value};

use crate::TrainError;
use crate::events::EventFolder;

/// A file of JSON lines, each with `stage`, `step` and numbers.
///
/// No line depends on the clock, so the file of a resumed run has the same bytes as that of an
/// uninterrupted run. A number that is not finite is written as `null`.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), collimate_train::TrainError> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("metrics.jsonl");
/// let metrics = collimate_train::Metrics::open(&path)?;
/// metrics.log("sft", 1, [("loss", 0.5)])?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"stage\":\"sft\",\"step\":1,\"loss\":0.5}\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    file: File,
    /// Number of lines of each stage counted so far, so that a checkpoint need not read the file
    /// again.
    lines: HashMap<String, usize>,
    /// Event files with the same numbers, for TensorBoard.
    events: Option<EventFolder>,
}

impl Log {
    /// Writes the numbers of a step as an event, after the line in the log. A stage that this process
    /// has not written before gets a new event file with all lines of the stage.
    fn write_event(&mut self, log: &Path, stage: &str, step: u64, values: &[(String, f64)]) {
        let written = match &mut self.events {
            None => return,
            Some(events) if events.has_begun(stage) => events.log(stage, step, values),
            Some(events) => rewrite(events, stage, &fs::read_to_string(log).unwrap_or_default()),
        };
        self.warn(written);
    }

    /// Writes the lines of a stage into a new event file.
    fn rewrite_events(&mut self, stage: &str, text: &str) {
        if let Some(events) = &mut self.events {
            let written = rewrite(events, stage, text);
            self.warn(written);
        }
    }

    /// Ends the event files after a failure, with a warning: the log has the same numbers, so a training
    /// need not stop.
    fn warn(&mut self, written: io::Result<()>) {
        if let Err(error) = written
            && let Some(events) = self.events.take()
        {
            let path = events.path().display();
            // A closed stderr is no reason to stop either.
            let _ = writeln!(
                io::stderr(),
                "warning: {path}: {error}: no more TensorBoard files are written"
            );
        }
    }
}

/// Replaces the event files of a stage by one file with the lines of the stage.
fn rewrite(events: &mut EventFolder, stage: &str, text: &str) -> io::Result<()> {
    events.forget(stage)?;
    for line in text.lines().filter(|line| belongs(line, stage)) {
        let row: Map<String, Value> = serde_json::from_str(line)?;
        let step = row.get("step").and_then(Value::as_u64).unwrap_or(0);
        let values: Vec<(String, f64)> = row
            .iter()
            .filter(|(key, _)| !["stage", "step"].contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.as_f64().unwrap_or(f64::NAN)))
            .collect();
        events.log(stage, step, &values)?;
    }
    Ok(())
}

impl Metrics {
    /// Opens the file or creates it. A last line that a killed process left half-written is
    /// removed.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        if path.exists() {
            // The file is read as bytes because the cut can lie within a character.
            let bytes = fs::read(path).map_err(TrainError::io(path))?;
            let complete = bytes
                .iter()
                .rposition(|&b| b == b'\n')
                .map_or(0, |end| end + 1);
            if complete < bytes.len() {
                atomic_write(path, &bytes[..complete])?;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            log: Mutex::new(Log {
                file: append(path)?,
                lines: HashMap::new(),
                events: None,
            }),
        })
    }

    /// Writes the same numbers as event files for TensorBoard too, each stage into a folder of its own
    /// below `folder`.
    ///
    /// Event files hold the time of day, so their bytes differ from run to run. The first line that a
    /// stage gets after a restart replaces the event files of the stage: TensorBoard then shows each
    /// step once. The folder belongs to this log alone. A file that cannot be written ends the event
    /// files with a warning, and not the training.
    pub fn with_events(self, folder: &Path) -> Self {
        self.lock().events = Some(EventFolder::new(folder));
        self
    }

    /// Appends a line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn log<K: Into<String>>(
        &self,
        stage: &str,
        step: u64,
        values: impl IntoIterator<Item = (K, f64)>,
    ) -> Result<(), TrainError> {
        // The line is written by hand so that the keys keep the order in which they were given.
        let values: Vec<(String, f64)> = values.into_iter().map(|(k, v)| (k.into(), v)).collect();
        let mut line = format!("{{\"stage\":{},\"step\":{step}", Value::from(stage));
        for (key, value) in &values {
            line.push_str(&format!(
                ",{}:{}",
                Value::from(key.as_str()),
                Value::from(*value)
            ));
        }
        line.push_str("}\n");
        let mut log = self.lock();
        // The count is removed while the line is written: after an error only the file is reliable.
        let known = log.lines.remove(stage);
        log.file
            .write_all(line.as_bytes())
            .map_err(TrainError::io(&self.path))?;
        if let Some(lines) = known {
            log.lines.insert(stage.to_owned(), lines + 1);
        }
        log.write_event(&self.path, stage, step, &values);
        Ok(())
    }

    /// Returns all lines, parsed.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not a JSON object.
    pub fn rows(&self) -> Result<Vec<Map<String, Value>>, TrainError> {
        let text = read(&self.path)?;
        let rows = text.lines().enumerate().map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| {
                TrainError::format(&self.path, format!("line {}: {error}", number + 1))
            })
        });
        rows.collect()
    }

    /// Returns the number of lines of a stage, including lines of earlier runs.
    pub(crate) fn lines(&self, stage: &str) -> Result<usize, TrainError> {
        let mut log = self.lock();
        if let Some(&lines) = log.lines.get(stage) {
            return Ok(lines);
        }
        let text = read(&self.path)?;
        let lines = text.lines().filter(|line| belongs(line, stage)).count();
        log.lines.insert(stage.to_owned(), lines);
        Ok(lines)
    }

    /// Keeps the first `keep` lines of a stage and all lines of the other stages.
    ///
    /// # Errors
    /// The stage has fewer lines, or the file cannot be read or written.
    pub fn rewind(&self, stage: &str, keep: usize) -> Result<(), TrainError> {
        let mut log = self.lock();
        let text = read(&self.path)?;
        let mut seen = 0;
        let mut kept = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            if belongs(line, stage) {
                seen += 1;
                if seen > keep {
                    continue;
                }
            }
            kept.push_str(line);
        }
        if seen < keep {
            let reason = format!(
                "stage {stage} has {seen} lines, its checkpoint was made after {keep}: \
                 restore the file or use another run folder"
            );
            return Err(TrainError::format(&self.path, reason));
        }
        if kept.len() < text.len() {
            atomic_write(&self.path, kept.as_bytes())?;
            log.file = append(&self.path)?;
            log.rewrite_events(stage, &kept);
        }
        log.lines.insert(stage.to_owned(), keep);
        Ok(())
    }

    /// Syncs the file to disk, before a checkpoint that counts the lines.
    pub(crate) fn sync(&self) -> Result<(), TrainError> {
        let log = self.lock();
        log.file.sync_data().map_err(TrainError::io(&self.path))
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn belongs(line: &str, stage: &str) -> bool {
    line.strip_prefix("{\"stage\":")
        .is_some_and(|rest| rest.starts_with(&format!("{},", Value::from(stage))))
}

fn append(path: &Path) -> Result<File, TrainError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(TrainError::io(path))
}

fn read(path: &Path) -> Result<String, TrainError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(TrainError::io(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The summaries of a stage's event files: each with the masked checksums checked, as text.
    fn summaries(folder: &Path, stage: &str) -> Vec<String> {
        let mut files: Vec<_> = fs::read_dir(folder.join(stage))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let masked = |bytes: &[u8]| {
            let sum = crc32c::crc32c(bytes).rotate_right(15);
            sum.wrapping_add(0xa282_ead8).to_le_bytes()
        };
        let mut found = Vec::new();
        for file in files {
            let bytes = fs::read(file).unwrap();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
                assert_eq!(rest[8..12], masked(&rest[..8]));
                let data = &rest[12..12 + length];
                assert_eq!(rest[12 + length..16 + length], masked(data));
                // The field `summary` of an event with a one-byte step.
                if data[9] == 16 && data[11] == 42 {
                    found.push(format!(
                        "{} {}",
                        data[10],
                        String::from_utf8_lossy(&data[17..21])
                    ));
                }
                rest = &rest[16 + length..];
            }
        }
        found
    }

    #[test]
    fn event_files_have_the_lines_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let (path, events) = (
            folder.path().join("metrics.jsonl"),
            folder.path().join("tb"),
        );
        let open = || Metrics::open(&path).unwrap().with_events(&events);
        let metrics = open();
        for step in 1..4 {
            metrics.log("sft", step, [("loss", 0.5)]).unwrap();
        }
        metrics.log("a/b", 1, [("loss", f64::NAN)]).unwrap();
        let of = |steps: &[u8]| -> Vec<String> {
            steps.iter().map(|step| format!("{step} loss")).collect()
        };
        assert_eq!(summaries(&events, "sft"), of(&[1, 2, 3]));
        assert_eq!(summaries(&events, "a%2Fb"), of(&[1]));
        // A resumed stage: each step once.
        metrics.rewind("sft", 1).unwrap();
        metrics.log("sft", 2, [("loss", 0.4)]).unwrap();
        assert_eq!(summaries(&events, "sft"), of(&[1, 2]));
        drop(metrics);
        let before: Vec<_> = fs::read_dir(events.join("sft"))
            .unwrap()
            .flatten()
            .collect();
        let metrics = open();
        assert!(
            before[0].path().exists(),
            "an open folder alone changes nothing"
        );
        metrics.log("sft", 3, [("loss", 0.3)]).unwrap();
        assert_eq!(summaries(&events, "sft"), of(&[1, 2, 3]));
        assert_eq!(summaries(&events, "a%2Fb"), of(&[1]));
    }

    #[test]
    fn the_counted_lines_are_those_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let metrics = Metrics::open(&path).unwrap();
        let log = |stage: &str, steps: std::ops::Range<u64>| {
            steps.for_each(|step| metrics.log(stage, step, [("loss", 0.5)]).unwrap());
        };
        let check = |stage: &str, lines: usize| {
            assert_eq!(metrics.lines(stage).unwrap(), lines);
            let anew = Metrics::open(&path).unwrap();
            assert_eq!(anew.lines(stage).unwrap(), lines, "counted in the file");
        };
        log("sft", 0..3);
        check("sft", 3);
        log("sft", 3..5);
        log("rm", 0..1);
        check("sft", 5);
        metrics.rewind("sft", 2).unwrap();
        check("sft", 2);
        log("sft", 2..4);
        check("sft", 4);
        check("rm", 1);
        metrics.rewind("rm", 2).unwrap_err();
        check("rm", 1);
        // The lines were counted already, so a later change of the file is not seen.
        fs::write(&path, "").unwrap();
        assert_eq!(metrics.lines("sft").unwrap(), 4);
    }
}
