//! Output of scored rows.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Column, Rows, scored};
use crate::common::{self, Failure};

/// Takes a text. Breaks if the reader has closed the output.
type Output<'a> = dyn FnMut(&str) -> io::Result<ControlFlow<()>> + 'a;

/// Reason why not all texts were written.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// The output cannot be written. Nothing is left of it.
    Output(Failure),
    /// The work failed. What was written before is in this file, if there is one.
    Work(Failure, Option<PathBuf>),
}

/// Writes texts to a file, or to standard output. The texts go to a file with the ending `.partial`
/// first, which gets its name at the end. If the work fails, the file keeps the ending, so that an
/// older file is not lost.
pub(super) fn to(
    path: Option<&Path>,
    texts: impl FnOnce(&mut Output<'_>) -> Result<(), Failure>,
) -> Result<(), Unwritten> {
    let Some(path) = path else {
        let mut failed = None;
        let result = texts(&mut |text| kept(common::print_while_read(text), &mut failed));
        return match failed {
            Some(error) => Err(Unwritten::Output(error.into())),
            None => result.map_err(|error| Unwritten::Work(error, None)),
        };
    };
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let unwritten = |error: io::Error| {
        let _ = fs::remove_file(&partial);
        Unwritten::Output(format!("{}: {error}", path.display()).into())
    };
    let mut file = File::create(&partial).map_err(unwritten)?;
    let (mut failed, mut any) = (None, false);
    let result = texts(&mut |text| {
        any |= !text.is_empty();
        kept(file.write_all(text.as_bytes()), &mut failed).map(ControlFlow::Continue)
    });
    if let Some(error) = failed {
        return Err(unwritten(error));
    }
    match (result, any) {
        (Ok(()), true) => file
            .sync_all()
            .and_then(|()| fs::rename(&partial, path))
            .map_err(unwritten),
        (Err(error), true) => Err(Unwritten::Work(error, Some(partial))),
        (result, false) => {
            let _ = fs::remove_file(&partial);
            result.map_err(|error| Unwritten::Work(error, None))
        }
    }
}

/// Notes the first error of the output.
fn kept<T>(written: io::Result<T>, failed: &mut Option<io::Error>) -> io::Result<T> {
    written.map_err(|error| {
        let copy = io::Error::new(error.kind(), error.to_string());
        failed.get_or_insert(error);
        copy
    })
}

/// Returns the rows that are scored as lines of JSON.
pub(super) fn lines(rows: &Rows, columns: &[Column]) -> Result<String, Failure> {
    let mut text = String::new();
    for index in 0..scored(columns) {
        let mut row = Map::new();
        match rows {
            Rows::Single(rows) => {
                row.insert("prompt".to_owned(), json!(rows[index].prompt));
                row.insert("completion".to_owned(), json!(rows[index].completion.text));
            }
            Rows::Pairs(rows) => {
                let pair = &rows[index];
                row.insert("prompt".to_owned(), json!(pair.prompt));
                row.insert("chosen".to_owned(), json!(pair.chosen.text));
                row.insert("rejected".to_owned(), json!(pair.rejected.text));
                for (name, number) in [("margin", pair.margin), ("weight", pair.weight)] {
                    if let Some(number) = number {
                        row.insert(name.to_owned(), json!(number));
                    }
                }
            }
        }
        for (name, values) in columns {
            row.insert((*name).to_owned(), Value::clone(&values[index]));
        }
        text += &serde_json::to_string(&row)?;
        text.push('\n');
    }
    Ok(text)
}
