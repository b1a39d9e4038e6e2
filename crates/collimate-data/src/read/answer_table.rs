//! Rows of a table with several columns of answers, such as `response_a` and `response_b`.

use std::path::PathBuf;

use serde_json::Value;

use super::Bad;
use super::fields::Object;
use super::lines::Lines;
use super::records::Records;
use super::response_columns::Columns;
use super::rows::NumberedRow;
use super::seen::is_index;
use super::table::Header;
use crate::error::DataError;

/// The rows of a table, in the form of JSON rows with the same names.
pub(super) struct AnswerTable {
    path: PathBuf,
    records: Records,
    header: Option<Header>,
}

impl AnswerTable {
    pub(super) fn new(path: PathBuf, lines: Lines, delimiter: u8) -> Self {
        Self {
            path,
            records: Records::new(lines, delimiter),
            header: None,
        }
    }

    /// Returns the next row with the line where the row begins.
    pub(super) fn next_row(&mut self) -> Result<Option<NumberedRow>, DataError> {
        while let Some((line, record)) = self.records.next()? {
            let wrong = |what: String| DataError::Row {
                path: self.path.clone(),
                line,
                what,
            };
            let Some(header) = &self.header else {
                // The first line is a header, because the layout of the table follows from it.
                let names = Header::of(&record.map_err(|bad| wrong(bad.what))?);
                if let Some(name) = names.repeated() {
                    return Err(wrong(format!(
                        "two columns are called `{name}`: rename one of them"
                    )));
                }
                self.records.columns = names.len();
                self.header = Some(names);
                continue;
            };
            let row = record.and_then(|record| match record.len() == header.len() {
                true => Ok(typed(header.row(&record)?)),
                false => Err(Bad::malformed(format!(
                    "{} columns, expected {} as in the header: quote texts that contain commas",
                    record.len(),
                    header.len()
                ))),
            });
            return Ok(Some((line, row)));
        }
        Ok(None)
    }
}

/// Gives the cells of a row the types that a JSON row would have. An empty label is a missing one,
/// and an index is a number.
fn typed(row: Object) -> Object {
    let cell = |(name, value): (String, Value)| {
        let label = Columns::label_name(&name);
        let empty = value.as_str().is_some_and(|text| text.trim().is_empty());
        match label {
            Some(label) if empty => (label.to_owned(), Value::Null),
            Some(label) => (label.to_owned(), value),
            None if is_index(&name, &value) => {
                let number = value
                    .as_str()
                    .and_then(|text| text.trim().parse::<f64>().ok());
                (name, number.map_or(Value::Null, Value::from))
            }
            None => (name, value),
        }
    };
    row.into_iter().map(cell).collect()
}
