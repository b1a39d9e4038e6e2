//! Prompts with several right and several wrong answers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Bad;
use super::fields::{Object, content, list};
use super::input::Input;
use super::labels::label;
use super::objects::each_object;
use super::seen::Seen;
use crate::error::DataError;
use collimate_core::Prompt;

/// A prompt with right and wrong answers.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerLists {
    /// Id of the row; without one, the number of the row from 1.
    pub id: String,
    /// Subset of the row, if the file names one.
    pub subset: Option<String>,
    /// The question.
    pub prompt: Prompt,
    /// Right answers.
    pub chosen: Vec<String>,
    /// Wrong answers.
    pub rejected: Vec<String>,
    /// The line of the row, from 1. In a Parquet file, the number of the row.
    pub line: usize,
}

impl Input {
    /// Returns true if the first row has `chosen` and `rejected` as lists of texts.
    ///
    /// # Errors
    /// Reading fails.
    pub fn holds_answer_lists(&mut self) -> Result<bool, DataError> {
        let row = self.row_ahead()?;
        let texts = |row: &Object, name: &str| {
            let list = row.get(name).and_then(Value::as_array);
            list.is_some_and(|list| list.first().is_some_and(Value::is_string))
        };
        Ok(row.is_some_and(|row| texts(&row, "chosen") && texts(&row, "rejected")))
    }

    /// Reads rows `{"id"?, "subset"?, "prompt", "chosen": [text], "rejected": [text]}` as
    /// RewardBench 2 has them, from JSON lines or one JSON array. Also returns the names of the
    /// columns that are not used.
    ///
    /// # Errors
    /// The input cannot be read or has no row. A row lacks a field, or has an empty list or answer;
    /// the error names the line.
    pub fn read_answer_lists(self) -> Result<(Vec<AnswerLists>, BTreeSet<String>), DataError> {
        let mut rows = Vec::new();
        let mut seen = Seen::default();
        each_object(self, |line, row| {
            seen.columns(
                row,
                &["id", "subset", "prompt", "chosen", "rejected", "models"],
            )?;
            rows.push(AnswerLists {
                id: label(row, "id")?.unwrap_or_else(|| (rows.len() + 1).to_string()),
                subset: label(row, "subset")?,
                prompt: content(row, "prompt", &mut seen)?.into_prompt(),
                chosen: texts(row, "chosen")?,
                rejected: texts(row, "rejected")?,
                line,
            });
            Ok(())
        })?;
        Ok((rows, seen.unused))
    }
}

fn texts(row: &Object, name: &str) -> Result<Vec<String>, Bad> {
    let values = list(row, name)?;
    if values.is_empty() {
        return Err(Bad::fields(format!("field `{name}` has no answer")));
    }
    let each = values.iter().enumerate().map(|(i, value)| {
        let text = value.as_str().filter(|text| !text.trim().is_empty());
        let text =
            text.ok_or_else(|| Bad::fields(format!("`{name}[{i}]` is empty or not a text")))?;
        Ok(text.to_owned())
    });
    each.collect()
}
