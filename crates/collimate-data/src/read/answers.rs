//! Answers of a model to prompts.

use std::path::Path;

use collimate_core::{Completion, Message, Prompt, Role};
use serde_json::Value;

use super::Bad;
use super::fields::{Content, Object, content, list, messages, text};
use super::labels::category;
use super::objects::each_object;
use super::questions::with_input;
use super::sft::answer;
use crate::error::DataError;

/// An answer and what it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What was asked.
    pub prompt: Prompt,
    /// The answer; it may be empty, for a model that has written nothing.
    pub completion: Completion,
    /// What the row's `category` says, else its `subset`, else its `dataset`.
    pub category: Option<String>,
}

/// Reads the answers of a model: JSON lines or one JSON array, each row in one of these layouts.
///
/// | row | from |
/// |---|---|
/// | `{"prompt", "completion"}` | prompt-completion data; texts or messages |
/// | `{"prompt", "completions": [{"text"}]}` | several answers to one prompt |
/// | `{"messages"}`, the last by the assistant | conversations |
/// | `{"instruction", "output"}`, perhaps with `input` | AlpacaEval's model outputs |
///
/// # Errors
/// A file that cannot be read or has no row; the first row in none of these layouts, with its line.
pub fn read_answers(path: impl AsRef<Path>) -> Result<Vec<Answer>, DataError> {
    let mut answers = Vec::new();
    each_object(path.as_ref(), |_, row| {
        let category = category(row)?;
        for (prompt, completion) in of_row(row)? {
            answers.push(Answer {
                prompt,
                completion,
                category: category.clone(),
            });
        }
        Ok(())
    })?;
    Ok(answers)
}

fn of_row(row: &Object) -> Result<Vec<(Prompt, Completion)>, Bad> {
    let has = |name: &str| row.contains_key(name);
    if has("completions") {
        let prompt = prompt(row)?;
        let completions = list(row, "completions")?;
        return completions
            .iter()
            .enumerate()
            .map(|(index, value)| Ok((prompt.clone(), completion(value, index)?)))
            .collect();
    }
    if has("completion") {
        let text = match content(row, "completion")? {
            Content::Text(text) => text,
            Content::Chat(messages) => answer(messages)?,
        };
        return Ok(vec![(prompt(row)?, text.into())]);
    }
    if has("instruction") && has("output") {
        let prompt = Prompt::Text(with_input(text(row, "instruction")?, row)?);
        return Ok(vec![(prompt, text(row, "output")?.into())]);
    }
    if has("messages") {
        let mut messages = messages(list(row, "messages")?, "messages")?;
        return match messages.pop() {
            Some(Message {
                role: Role::Assistant,
                content,
            }) => Ok(vec![(Prompt::Chat(messages), content.into())]),
            _ => Err(Bad::fields("`messages` do not end with the assistant's")),
        };
    }
    let keys: Vec<&str> = row.keys().map(String::as_str).collect();
    Err(Bad::fields(format!(
        "no answer: a row has `prompt` and `completion` (or `completions`), or `instruction` and \
         `output`, or `messages` (this one has: {})",
        keys.join(", ")
    )))
}

fn prompt(row: &Object) -> Result<Prompt, Bad> {
    Ok(match content(row, "prompt")? {
        Content::Text(text) => Prompt::Text(text),
        Content::Chat(messages) => Prompt::Chat(messages),
    })
}

fn completion(value: &Value, index: usize) -> Result<Completion, Bad> {
    if let Value::String(text) = value {
        return Ok(text.clone().into());
    }
    serde_json::from_value(value.clone()).map_err(|_| {
        Bad::fields(format!(
            "`completions[{index}]` is neither a text nor an object with `text`"
        ))
    })
}
