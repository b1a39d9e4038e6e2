//! Answers with a grade.

use std::collections::BTreeSet;

use collimate_core::Prompt;

use super::Bad;
use super::fields::{Object, content, number, optional, text};
use super::input::Input;
use super::objects::each_object;
use super::seen::Seen;
use crate::error::DataError;

/// An answer with a grade.
#[derive(Debug, Clone, PartialEq)]
pub struct GradedAnswer {
    /// The question.
    pub prompt: Prompt,
    /// The answer.
    pub completion: String,
    /// The grade.
    pub score: f64,
    /// The reason given for the grade; often empty.
    pub justification: String,
    /// The line of the row, from 1. In a Parquet file, the number of the row.
    pub line: usize,
}

impl Input {
    /// Reads rows `{"prompt", "completion", "score", "justification"?}` from JSON lines or one JSON
    /// array. Also returns the names of the columns that are not used.
    ///
    /// # Errors
    /// The input cannot be read or has no row. A row lacks a field; the error names its line.
    pub fn read_graded(self) -> Result<(Vec<GradedAnswer>, BTreeSet<String>), DataError> {
        let mut graded = Vec::new();
        let mut seen = Seen::default();
        each_object(self, |line, row| {
            let answer = answer(row, line, &mut seen).map_err(|bad| {
                let example = "{\"prompt\", \"completion\", \"score\"}";
                Bad::fields(format!("{}: write {example}", bad.what))
            })?;
            graded.push(answer);
            Ok(())
        })?;
        Ok((graded, seen.unused))
    }
}

fn answer(row: &Object, line: usize, seen: &mut Seen) -> Result<GradedAnswer, Bad> {
    let needed = ["prompt", "completion", "score"];
    if let Some(name) = needed.iter().find(|name| !row.contains_key(**name)) {
        return Err(Bad::fields(format!("missing field `{name}`")));
    }
    seen.columns(row, &["prompt", "completion", "score", "justification"])?;
    Ok(GradedAnswer {
        prompt: content(row, "prompt", seen)?.into_prompt(),
        completion: text(row, "completion")?.to_owned(),
        score: number(row, "score")?,
        justification: optional(row, "justification")?
            .unwrap_or_default()
            .to_owned(),
        line,
    })
}
