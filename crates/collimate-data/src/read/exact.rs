//! Questions with one exact answer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Bad;
use super::fields::{field, text};
use super::input::Input;
use super::objects::each_object;
use super::seen::Seen;
use crate::error::DataError;

/// A question with its exact answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactQuestion {
    /// The question.
    pub question: String,
    /// The answer: a number or a short text.
    pub answer: String,
    /// Part of the file that the question belongs to, if the file names one.
    pub category: Option<String>,
    /// The line of the row, from 1. In a Parquet file, the number of the row.
    pub line: usize,
}

impl Input {
    /// Reads rows `{"question", "answer"}` from JSON lines or one JSON array. Also returns the
    /// names of the columns that are not used. If an answer contains `####`, as in GSM8K, only the
    /// text after the last `####` counts.
    ///
    /// # Errors
    /// The input cannot be read or has no row. A row lacks a field or has an empty one; the error
    /// names the line.
    ///
    /// # Examples
    /// ```
    /// use collimate_data::Input;
    /// let row = r#"{"question": "6 x 7?", "answer": "Six sevens.\n#### 42"}"#;
    /// let (questions, _) = Input::from_reader("q.jsonl", row.as_bytes())?.read_exact()?;
    /// assert_eq!(questions[0].answer, "42");
    /// # Ok::<(), collimate_data::DataError>(())
    /// ```
    pub fn read_exact(self) -> Result<(Vec<ExactQuestion>, BTreeSet<String>), DataError> {
        let mut questions = Vec::new();
        let mut seen = Seen::default();
        each_object(self, |line, row| {
            seen.columns(row, &["question", "answer", "category", "subset"])?;
            let question = text(row, "question")?.to_owned();
            let given = match field(row, "answer")? {
                Value::String(answer) => answer.clone(),
                Value::Number(number) => number.to_string(),
                _ => return Err(Bad::fields("field `answer` is neither a text nor a number")),
            };
            let answer = given
                .rsplit("####")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned();
            if question.trim().is_empty() || answer.is_empty() {
                return Err(Bad::fields(
                    "the question or the answer is empty: write a text",
                ));
            }
            let category = ["category", "subset"]
                .into_iter()
                .find_map(|name| row.get(name).and_then(Value::as_str));
            questions.push(ExactQuestion {
                question,
                answer,
                category: category.map(str::to_owned),
                line,
            });
            Ok(())
        })?;
        Ok((questions, seen.unused))
    }
}
