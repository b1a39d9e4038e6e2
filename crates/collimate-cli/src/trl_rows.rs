//! Rows as other trainers read them: prompts and answers as texts, or as lists of messages.

use std::collections::BTreeMap;

use collimate::core::{Json, Message, Prompt, Role};
use serde_json::Number;

use crate::common::Failure;

/// A row of a file.
pub(crate) type Row = BTreeMap<String, Json>;

/// Creates a message of a role.
pub(crate) fn message(role: Role, content: &str) -> Message {
    Message::new(role, content)
}

/// Writes an answer beside its prompt: as a text, or as a list with one message of the assistant.
pub(crate) fn answer(prompt: &Prompt, text: &str) -> Result<Json, Failure> {
    match prompt {
        Prompt::Text(_) => Ok(text.into()),
        Prompt::Chat(_) => turns(&[message(Role::Assistant, text)]),
    }
}

/// Writes messages with their keys sorted. Messages with more than role and content keep the order
/// of their keys, because tool calls in another order are other tokens.
pub(crate) fn turns(messages: &[Message]) -> Result<Json, Failure> {
    let plain = messages.iter().all(|message| message.further.is_empty());
    Ok(match plain {
        true => Json::of(&serde_json::to_value(messages)?)?,
        false => Json::of(&messages)?,
    })
}

/// Writes a prompt as a text or as a list of messages.
pub(crate) fn asked(prompt: &Prompt) -> Result<Json, Failure> {
    match prompt {
        Prompt::Text(text) => Ok(text.as_str().into()),
        Prompt::Chat(messages) => turns(messages),
    }
}

/// Writes a number, or null if there is none.
pub(crate) fn number(value: Option<f64>) -> Json {
    let number = value.and_then(Number::from_f64);
    number.map_or(Json::Null, Json::Number)
}

/// Writes each row on a line.
pub(crate) fn lines(rows: Vec<Row>) -> Result<String, Failure> {
    let mut text = String::new();
    for row in rows {
        text += &serde_json::to_string(&row)?;
        text.push('\n');
    }
    Ok(text)
}
