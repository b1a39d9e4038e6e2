//! Two columns, the first preferred, or columns that a header names.

use std::path::Path;

use collimate_core::{PreferencePair, Prompt};
use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use super::lines::{open, reading};
use super::{Bad, DropReason, Sink};
use crate::error::DataError;

/// Which column holds what.
struct Columns {
    prompt: Option<usize>,
    chosen: usize,
    rejected: usize,
}

/// A file without header.
const FIRST_PREFERRED: Columns = Columns {
    prompt: None,
    chosen: 0,
    rejected: 1,
};

pub(super) fn read(path: &Path, sink: &mut Sink<PreferencePair>) -> Result<(), DataError> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(open(path)?);
    let mut record = ByteRecord::new();
    let mut columns = FIRST_PREFERRED;
    loop {
        let start = reader.position().line() as usize;
        match reader.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {}
            Err(error) => {
                let text = error.to_string();
                return Err(match error.into_kind() {
                    ErrorKind::Io(source) => reading(path, start, source),
                    _ => DataError::Row {
                        path: path.to_owned(),
                        line: start,
                        what: text,
                    },
                });
            }
        }
        let line = record
            .position()
            .map_or(start, |position| position.line() as usize);
        if record.len() == 1 && record[0].trim_ascii().is_empty() {
            continue;
        }
        sink.rows += 1;
        if sink.rows == 1
            && let Some(named) = Columns::named(&record)
        {
            columns = named;
            sink.drop_one(DropReason::Header);
            continue;
        }
        match columns.pair(&record) {
            Ok((prompt, chosen, rejected)) => sink.pair(prompt, chosen, rejected, None),
            Err(bad) => sink.bad(line, bad)?,
        }
    }
    if sink.rows == 0 {
        return Err(DataError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(())
}

impl Columns {
    /// The columns of a header; `None` for any other record.
    fn named(record: &ByteRecord) -> Option<Self> {
        let at = |name: &str| record.iter().position(|field| field == name.as_bytes());
        let columns = Self {
            prompt: at("prompt"),
            chosen: at("chosen")?,
            rejected: at("rejected")?,
        };
        (record.len() == columns.len()).then_some(columns)
    }

    fn len(&self) -> usize {
        2 + usize::from(self.prompt.is_some())
    }

    fn pair(&self, record: &ByteRecord) -> Result<(Prompt, String, String), Bad> {
        if record.len() != self.len() {
            let expected = match self.prompt {
                Some(_) => "3 as in the header",
                None => {
                    "2 (preferred, other; a prompt needs the header `prompt,chosen,rejected` or JSON lines)"
                }
            };
            return Err(Bad {
                reason: DropReason::Malformed,
                what: format!(
                    "{} columns, expected {expected}: quote texts that contain commas",
                    record.len()
                ),
            });
        }
        let text = |column: usize| {
            std::str::from_utf8(&record[column])
                .map(str::to_owned)
                .map_err(|_| Bad {
                    reason: DropReason::NotUtf8,
                    what: format!("column {column} is not valid UTF-8"),
                })
        };
        let prompt = self.prompt.map(text).transpose()?.unwrap_or_default();
        Ok((
            Prompt::Text(prompt),
            text(self.chosen)?,
            text(self.rejected)?,
        ))
    }
}
