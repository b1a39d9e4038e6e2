//! Two columns, the first preferred.

use std::path::Path;

use collimate_core::{PreferencePair, Prompt};
use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use super::lines::{open, reading};
use super::{Bad, DropReason, Sink};
use crate::error::DataError;

pub(super) fn read(path: &Path, sink: &mut Sink<PreferencePair>) -> Result<(), DataError> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(open(path)?);
    let mut record = ByteRecord::new();
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
        match columns(&record) {
            Ok(("chosen", "rejected")) if sink.rows == 1 => sink.drop_one(DropReason::Header),
            Ok((chosen, rejected)) => {
                sink.pair(
                    Prompt::Text(String::new()),
                    chosen.to_owned(),
                    rejected.to_owned(),
                    None,
                );
            }
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

fn columns(record: &ByteRecord) -> Result<(&str, &str), Bad> {
    if record.len() != 2 {
        return Err(Bad {
            reason: DropReason::Malformed,
            what: format!(
                "{} columns, expected 2 (preferred, other): quote texts that contain commas",
                record.len()
            ),
        });
    }
    let text = |column: usize| {
        std::str::from_utf8(&record[column]).map_err(|_| Bad {
            reason: DropReason::NotUtf8,
            what: format!("column {column} is not valid UTF-8"),
        })
    };
    Ok((text(0)?, text(1)?))
}
