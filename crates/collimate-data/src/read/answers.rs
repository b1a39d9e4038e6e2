//! Answers of a model to prompts.

use std::collections::BTreeSet;
use std::path::Path;

use collimate_core::{Completion, Prompt, Role};
use serde_json::Value;

use super::fields::{Content, Object, content, keys, list, messages, other_keys, text};
use super::further::spoken;
use super::labels::{CATEGORIES, category};
use super::objects::each_object;
use super::questions::with_input;
use super::seen::Seen;
use super::sft::answer;
use super::{Bad, Input};
use crate::error::DataError;

/// An answer with its prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The prompt.
    pub prompt: Prompt,
    /// The answer. It may be empty if the model wrote nothing.
    pub completion: Completion,
    /// Value of `category` in the row, else of `subset`, else of `dataset`.
    pub category: Option<String>,
}

/// Reads the answers of a model from JSON lines or one JSON array. Each row has one of these
/// layouts:
///
/// | row | from |
/// |---|---|
/// | `{"prompt", "completion"}` | prompt-completion data; texts or messages |
/// | `{"prompt", "completions": [{"text"}]}` | several answers to one prompt |
/// | `{"messages"}`, the last from the assistant | conversations |
/// | `{"instruction", "output"}`, optionally with `input` | AlpacaEval's model outputs |
///
/// # Errors
/// The file cannot be read or has no row. A row has none of these layouts; the error names the line
/// of the first such row.
pub fn read_answers(path: impl AsRef<Path>) -> Result<Vec<Answer>, DataError> {
    Ok(Input::open(path)?.read_answers()?.0)
}

impl Input {
    /// Reads the answers of a model like [`read_answers`], and returns the names of the columns
    /// that are not used.
    ///
    /// # Errors
    /// As [`read_answers`].
    pub fn read_answers(self) -> Result<(Vec<Answer>, BTreeSet<String>), DataError> {
        let mut answers = Vec::new();
        let mut seen = Seen::default();
        each_object(self, |_, row| {
            let category = category(row)?;
            for (prompt, completion) in of_row(row, &mut seen)? {
                answers.push(Answer {
                    prompt,
                    completion,
                    category: category.clone(),
                });
            }
            Ok(())
        })?;
        Ok((answers, seen.unused))
    }
}

fn of_row(row: &Object, seen: &mut Seen) -> Result<Vec<(Prompt, Completion)>, Bad> {
    let has = |name: &str| row.contains_key(name);
    let look = |seen: &mut Seen, read: &[&str]| seen.columns(row, &[read, &CATEGORIES].concat());
    if has("completions") {
        look(seen, &["prompt", "completions"])?;
        let prompt = content(row, "prompt", seen)?.into_prompt();
        let completions = list(row, "completions")?;
        return completions
            .iter()
            .enumerate()
            .map(|(index, value)| Ok((prompt.clone(), completion(value, index, seen)?)))
            .collect();
    }
    if has("completion") {
        look(seen, &["prompt", "completion"])?;
        let text = match content(row, "completion", seen)? {
            Content::Text(text) => text,
            Content::Chat(messages) => answer(messages)?,
        };
        let prompt = content(row, "prompt", seen)?.into_prompt();
        return Ok(vec![(prompt, text.into())]);
    }
    if has("instruction") && has("output") {
        look(seen, &["instruction", "input", "output"])?;
        let prompt = Prompt::Text(with_input(text(row, "instruction")?, row)?);
        return Ok(vec![(prompt, text(row, "output")?.into())]);
    }
    if has("messages") {
        look(seen, &["messages"])?;
        let mut messages = messages(list(row, "messages")?, "messages", seen)?;
        return match messages.pop() {
            Some(last) if last.role == Role::Assistant => {
                let text = spoken(&last, "messages", messages.len())?;
                Ok(vec![(Prompt::Chat(messages), text.into())])
            }
            _ => Err(Bad::fields(
                "`messages` do not end with a message of the assistant",
            )),
        };
    }
    Err(Bad::fields(format!(
        "no answer: a row has `prompt` and `completion` (or `completions`), or `instruction` and \
         `output`, or `messages` (this one has: {})",
        keys(row)
    )))
}

fn completion(value: &Value, index: usize, seen: &mut Seen) -> Result<Completion, Bad> {
    if let Value::String(text) = value {
        return Ok(text.clone().into());
    }
    if let Some(object) = value.as_object() {
        let read = ["text", "tokens", "finish"];
        other_keys(object, "completions", index, &read, seen)?;
    }
    serde_json::from_value(value.clone()).map_err(|_| {
        Bad::fields(format!(
            "`completions[{index}]` is neither a text nor an object with `text`"
        ))
    })
}
