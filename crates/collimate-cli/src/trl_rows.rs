//! Rows as other trainers read them: prompts and answers as texts, or as lists of messages.

use std::collections::BTreeMap;

use collimate::core::{Json, Message, Prompt, Role};
use serde_json::Number;

use crate::common::Failure;

/// A row of a file.
pub(crate) type Row = BTreeMap<String, Json>;

/// A message of a role.
pub(crate) fn message(role: Role, content: &str) -> Message {
    Message::new(role, content)
}

/// An answer beside its prompt: a text, or a list with one message of the assistant.
pub(crate) fn answer(prompt: &Prompt, text: &str) -> Result<Json, Failure> {
    match prompt {
        Prompt::Text(_) => Ok(text.into()),
        Prompt::Chat(_) => turns(&[message(Role::Assistant, text)]),
    }
}

/// Messages with their keys sorted, or in their order where they hold more than role and content: calls of
/// tools are other tokens in another order.
pub(crate) fn turns(messages: &[Message]) -> Result<Json, Failure> {
    let plain = messages.iter().all(|message| message.further.is_empty());
    Ok(match plain {
        true => Json::of(&serde_json::to_value(messages)?)?,
        false => Json::of(&messages)?,
    })
}

/// A prompt as a text or as a list of messages.
pub(crate) fn asked(prompt: &Prompt) -> Result<Json, Failure> {
    match prompt {
        Prompt::Text(text) => Ok(text.as_str().into()),
        Prompt::Chat(messages) => turns(messages),
    }
}

/// A number; null where there is none.
pub(crate) fn number(value: Option<f64>) -> Json {
    let number = value.and_then(Number::from_f64);
    number.map_or(Json::Null, Json::Number)
}

/// One row a line.
pub(crate) fn lines(rows: Vec<Row>) -> Result<String, Failure> {
    let mut text = String::new();
    for row in rows {
        text += &serde_json::to_string(&row)?;
        text.push('\n');
    }
    Ok(text)
}
