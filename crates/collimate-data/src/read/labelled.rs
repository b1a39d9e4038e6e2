//! Single completions with a label, good or bad.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::Bad;
use super::fields::{Content, Object, content};
use super::input::Input;
use super::objects::each_object;
use super::seen::{NUMBERS, Seen, is_meant};
use super::sft::answer;
use crate::SftExample;
use crate::error::DataError;

/// A completion with a label, the data of KTO and BCO (unpaired preferences in TRL).
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledExample {
    /// The prompt and its completion.
    pub example: SftExample,
    /// If true, the completion is good; else it is bad.
    pub desirable: bool,
    /// The line of the row, from 1. In a Parquet file, the number of the row.
    pub line: usize,
}

/// Fields of a row.
const NEEDED: [&str; 3] = ["prompt", "completion", "label"];

/// Reads labelled completions from one file. See [`Input::read_labelled`].
///
/// # Errors
/// As [`Input::read_labelled`].
pub fn read_labelled(
    path: impl AsRef<Path>,
) -> Result<(Vec<LabelledExample>, BTreeSet<String>), DataError> {
    Input::open(path)?.read_labelled()
}

impl Input {
    /// Returns true if the first row has `prompt`, `completion` and `label`.
    ///
    /// # Errors
    /// Reading fails.
    pub fn holds_labels(&mut self) -> Result<bool, DataError> {
        let row = self.row_ahead()?;
        Ok(row.is_some_and(|row| NEEDED.iter().all(|name| row.contains_key(*name))))
    }

    /// Reads rows `{"prompt", "completion", "label"}` from JSON lines or one JSON array. Also
    /// returns the names of the columns that are not used. Prompt and completion are texts or lists
    /// of messages. The label is true, false, 1 or 0.
    ///
    /// # Errors
    /// The input cannot be read or has no row. A row lacks a field or has an invalid value; the
    /// error names its line.
    pub fn read_labelled(mut self) -> Result<(Vec<LabelledExample>, BTreeSet<String>), DataError> {
        let mut rows = Vec::new();
        let mut seen = Seen::default();
        seen.unused.extend(
            self.only(|name| NEEDED.contains(&name) || is_meant(name) || NUMBERS.contains(&name)),
        );
        each_object(self, |line, row| {
            let found = labelled(row, line, &mut seen).map_err(|bad| {
                let example = "{\"prompt\": \"…\", \"completion\": \"…\", \"label\": true}";
                Bad::fields(format!("{}: write {example}", bad.what))
            })?;
            rows.push(found);
            Ok(())
        })?;
        Ok((rows, seen.unused))
    }
}

fn labelled(row: &Object, line: usize, seen: &mut Seen) -> Result<LabelledExample, Bad> {
    if let Some(name) = NEEDED.iter().find(|name| !row.contains_key(**name)) {
        return Err(Bad::fields(format!("missing field `{name}`")));
    }
    seen.columns(row, &NEEDED)?;
    let desirable = match &row["label"] {
        Value::Bool(label) => *label,
        Value::Number(number) if number.as_f64() == Some(1.0) => true,
        Value::Number(number) if number.as_f64() == Some(0.0) => false,
        other => {
            return Err(Bad::fields(format!(
                "field `label` is {other}: it must be true (good) or false (bad)"
            )));
        }
    };
    let completion = match content(row, "completion", seen)? {
        Content::Text(text) => text,
        Content::Chat(messages) => answer(messages)?,
    };
    Ok(LabelledExample {
        example: SftExample {
            prompt: content(row, "prompt", seen)?.into_prompt(),
            completion: completion.into(),
        },
        desirable,
        line,
    })
}
