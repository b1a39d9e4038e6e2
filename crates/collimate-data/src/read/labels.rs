//! Columns that name the group of a row, such as the subset of a benchmark.

use std::path::Path;

use collimate_core::PreferencePair;
use serde_json::Value;

use super::fields::Object;
use super::report::ReadReport;
use super::sink::Sink;
use super::steps::{self, pair_steps};
use super::{Bad, Input, ReadOptions};
use crate::error::DataError;

/// Values of one column that is not part of the pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Name of the column.
    pub column: String,
    /// The value of each kept row; `None` if the row has no value.
    pub values: Vec<Option<String>>,
}

/// Reads pairs like [`read_pairs`](super::read_pairs), with the values of the first of `columns`
/// that any row has, such as RewardBench's `subset`.
///
/// Numbers count as texts. If a row gives several pairs, each pair gets the value of the row. The
/// labels are `None` if no kept row has any of the columns.
///
/// # Errors
/// As [`read_pairs`](super::read_pairs). A value that is neither a text nor a number makes its row
/// a bad row.
pub fn read_labelled_pairs(
    path: impl AsRef<Path>,
    options: &ReadOptions,
    columns: &[&str],
) -> Result<(Vec<PreferencePair>, Option<Labels>, ReadReport), DataError> {
    let mut input = Input::open(path)?;
    let format = input.format_of(options)?;
    let mut sink = Sink::new(input.path(), options);
    sink.labels.columns = columns.iter().map(|&name| name.to_owned()).collect();
    steps::all(pair_steps(input, format, options, &mut sink)?, &mut sink)?;
    let labels = std::mem::take(&mut sink.labels).labels(sink.out.len());
    if let Some(labels) = &labels {
        sink.seen.unused.remove(&labels.column);
    }
    let (pairs, report) = sink.finish(format);
    Ok((pairs, labels, report))
}

/// Values of the columns for each kept row.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) columns: Vec<String>,
    /// One value per column for each row.
    values: Vec<Vec<Option<String>>>,
}

impl Notes {
    /// Returns the values of one row.
    pub(super) fn of(&self, row: &Object) -> Result<Vec<Option<String>>, Bad> {
        self.columns.iter().map(|name| label(row, name)).collect()
    }

    /// Assigns the values to everything kept since the last row.
    pub(super) fn keep(&mut self, values: Vec<Option<String>>, kept: usize) {
        if !self.columns.is_empty() {
            self.values.resize(kept, values);
        }
    }

    fn labels(self, kept: usize) -> Option<Labels> {
        if self.values.len() != kept {
            return None;
        }
        let has = |column: &usize| self.values.iter().any(|row| row[*column].is_some());
        let column = (0..self.columns.len()).find(has)?;
        let values = self.values.into_iter().map(|mut row| row[column].take());
        Some(Labels {
            column: self.columns[column].clone(),
            values: values.collect(),
        })
    }
}

/// Returns the value of a column as a text.
pub(super) fn label(row: &Object, name: &str) -> Result<Option<String>, Bad> {
    match row.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(Bad::fields(format!(
            "field `{name}` is neither a text nor a number"
        ))),
    }
}

/// Columns that name the group of a row of prompts or answers.
pub(super) const CATEGORIES: [&str; 3] = ["category", "subset", "dataset"];

/// Returns the group of a row of prompts or answers: the value of the first of [`CATEGORIES`] that
/// the row has.
pub(super) fn category(row: &Object) -> Result<Option<String>, Bad> {
    for name in CATEGORIES {
        if let Some(value) = label(row, name)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}
