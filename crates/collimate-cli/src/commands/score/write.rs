//! Output of scored rows.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use collimate::files::atomic_write_with;
use serde_json::{Map, Value, json};

use super::{Column, Rows, scored};
use crate::common::{self, Failure};

/// Takes a text. Breaks if the reader has closed the output.
type Output<'a> = dyn FnMut(&str) -> io::Result<ControlFlow<()>> + 'a;

/// Writes texts to a file, or to standard output, and returns the result of `texts`. The file
/// appears when everything is written, also what was written before `texts` failed. Nothing appears
/// if nothing was written.
pub(super) fn to(
    path: Option<&Path>,
    texts: impl FnOnce(&mut Output<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some(path) = path else {
        return texts(&mut common::print_while_read);
    };
    let mut result = Ok(());
    let mut any = false;
    let written = atomic_write_with(path, |file| {
        result = texts(&mut |text| {
            any |= !text.is_empty();
            file.write_all(text.as_bytes()).map(ControlFlow::Continue)
        });
        match any {
            true => Ok(()),
            false => Err(io::Error::other("nothing is written")),
        }
    });
    result?;
    match any {
        true => Ok(written?),
        false => Ok(()),
    }
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
