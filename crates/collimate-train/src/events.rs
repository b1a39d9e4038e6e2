//! Event files, which TensorBoard reads.
//!
//! A file is a sequence of records: the length of the data (u64), the masked CRC-32C of the length,
//! the data, the masked CRC-32C of the data; all numbers are little-endian. The data is a protobuf
//! message `Event` of TensorFlow. Its fields here are `wall_time` (1, double), `step` (2, int64),
//! `file_version` (3, string), `summary` (5, message) and `session_log` (7, message).

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Beginning of the name of every event file.
const NAME: &str = "events.out.tfevents.";

/// Part of the names of the event files that this crate writes; files of other programs stay.
const OURS: &str = ".collimate.";

/// Version of the records, which begins every file.
const VERSION: &str = "brain.Event:2";

/// A folder with one folder of event files for each stage.
#[derive(Debug)]
pub(crate) struct EventFolder {
    path: PathBuf,
    /// Paths of the files that this process has begun, by stage.
    begun: HashMap<String, PathBuf>,
    /// The file of the stage that wrote last: a run with many stages has one open file.
    open: Option<(String, File)>,
}

impl EventFolder {
    /// Takes a folder. The folder is created with the first event.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            begun: HashMap::new(),
            open: None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns true if this process has begun an event file of the stage.
    pub(crate) fn has_begun(&self, stage: &str) -> bool {
        self.begun.contains_key(stage)
    }

    /// Removes the event files of a stage, so that a resumed stage can write them again.
    pub(crate) fn forget(&mut self, stage: &str) -> io::Result<()> {
        self.begun.remove(stage);
        self.open.take_if(|(name, _)| name == stage);
        let folder = self.folder(stage);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(NAME) && name.contains(OURS) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Appends the values of a step.
    pub(crate) fn log(
        &mut self,
        stage: &str,
        step: u64,
        values: &[(String, f64)],
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        if !self.begun.contains_key(stage) {
            let (path, file) = self.create(stage)?;
            self.begun.insert(stage.to_owned(), path);
            self.open = Some((stage.to_owned(), file));
            bytes = record(&event(None).text(3, VERSION).0);
            // TensorBoard drops what it has read of this stage from the step on.
            let start = Message::default().varint(1, 1);
            bytes.extend(record(&event(Some(step)).message(7, &start).0));
        }
        let mut summary = Message::default();
        for (tag, value) in values {
            let value = Message::default()
                .text(1, tag)
                .fixed32(2, (*value as f32).to_bits());
            summary = summary.message(1, &value);
        }
        bytes.extend(record(&event(Some(step)).message(5, &summary).0));
        self.file(stage)?.write_all(&bytes)
    }

    /// Returns the file of a stage that was begun, opened again if another stage wrote in between.
    fn file(&mut self, stage: &str) -> io::Result<&mut File> {
        let file = match self.open.take_if(|(name, _)| name == stage) {
            Some((_, file)) => file,
            None => {
                let path = self.begun.get(stage).ok_or(io::ErrorKind::NotFound)?;
                File::options().append(true).open(path)?
            }
        };
        Ok(&mut self.open.insert((stage.to_owned(), file)).1)
    }

    fn create(&self, stage: &str) -> io::Result<(PathBuf, File)> {
        let folder = self.folder(stage);
        fs::create_dir_all(&folder)?;
        let seconds = since_epoch() as u64;
        // A second file of the same second gets a name of its own, which sorts behind the first.
        for number in 0_u32.. {
            let path = folder.join(format!("{NAME}{seconds:010}{OURS}{number}"));
            match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                found => return found.map(|file| (path, file)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Returns the folder of a stage. Characters that some file systems refuse are written as `%` and
    /// their number, so that two stages never share a folder.
    fn folder(&self, stage: &str) -> PathBuf {
        let mut name = String::new();
        for c in stage.chars() {
            match c.is_ascii_alphanumeric() || "_-".contains(c) {
                true => name.push(c),
                false => name.push_str(&format!("%{:02X}", c as u32)),
            }
        }
        self.path.join(name)
    }
}

fn since_epoch() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// Begins a message `Event` of now.
fn event(step: Option<u64>) -> Message {
    event_at(since_epoch(), step)
}

fn event_at(seconds: f64, step: Option<u64>) -> Message {
    let event = Message::default().fixed64(1, seconds.to_bits());
    match step {
        Some(step) => event.varint(2, step),
        None => event,
    }
}

/// A protobuf message as bytes.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn push(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn field(mut self, field: u64, wire: u64) -> Self {
        self.push(field << 3 | wire);
        self
    }

    fn varint(self, field: u64, value: u64) -> Self {
        let mut message = self.field(field, 0);
        message.push(value);
        message
    }

    fn fixed64(self, field: u64, bits: u64) -> Self {
        let mut message = self.field(field, 1);
        message.0.extend(bits.to_le_bytes());
        message
    }

    fn fixed32(self, field: u64, bits: u32) -> Self {
        let mut message = self.field(field, 5);
        message.0.extend(bits.to_le_bytes());
        message
    }

    fn bytes(self, field: u64, bytes: &[u8]) -> Self {
        let mut message = self.field(field, 2);
        message.push(bytes.len() as u64);
        message.0.extend(bytes);
        message
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, inner: &Message) -> Self {
        self.bytes(field, &inner.0)
    }
}

/// Frames the data of a record.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(data.len() + 16);
    bytes.extend(length);
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend(data);
    bytes.extend(masked(data).to_le_bytes());
    bytes
}

fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_bytes_of_tensorboard() {
        // RecordWriter of Python's tensorboard 2.21.
        let expected = [
            3, 0, 0, 0, 0, 0, 0, 0, 176, 153, 73, 14, 97, 98, 99, 110, 87, 241, 33,
        ];
        assert_eq!(record(b"abc"), expected);
    }

    #[test]
    fn an_event_has_the_bytes_of_tensorboard() {
        // SerializeToString of Python's tensorboard 2.21: Event(wall_time=1.5, step=300, summary=…).
        let at = |step| event_at(1.5, step);
        let value = |tag, value: f32| Message::default().text(1, tag).fixed32(2, value.to_bits());
        let summary = Message::default()
            .message(1, &value("loss", 0.25))
            .message(1, &value("lr", -1.0));
        let expected = [
            9, 0, 0, 0, 0, 0, 0, 248, 63, 16, 172, 2, 42, 24, 10, 11, 10, 4, 108, 111, 115, 115,
            21, 0, 0, 128, 62, 10, 9, 10, 2, 108, 114, 21, 0, 0, 128, 191,
        ];
        assert_eq!(at(Some(300)).message(5, &summary).0, expected);
        let start = Message::default().varint(1, 1);
        let expected = [9, 0, 0, 0, 0, 0, 0, 248, 63, 16, 7, 58, 2, 8, 1];
        assert_eq!(at(Some(7)).message(7, &start).0, expected);
        let expected = b"\x09\0\0\0\0\0\0\xf8\x3f\x1a\x0dbrain.Event:2";
        assert_eq!(at(None).text(3, VERSION).0, expected);
    }

    #[test]
    fn numbers_are_varints() {
        assert_eq!(Message::default().varint(2, 300).0, [16, 0xac, 2]);
        assert_eq!(Message::default().text(1, "ab").0, [10, 2, b'a', b'b']);
        assert_eq!(Message::default().fixed32(2, 1).0, [21, 1, 0, 0, 0]);
    }
}
