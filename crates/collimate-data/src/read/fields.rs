//! Fields of a JSON row, with errors that say which is wrong.

use collimate_core::{Message, Role};
use serde_json::{Map, Value};

use super::Bad;

pub(super) type Object = Map<String, Value>;

/// A text or a conversation.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Text(String),
    Chat(Vec<Message>),
}

/// The field, or an error that names the fields there are.
pub(super) fn field<'a>(row: &'a Object, name: &str) -> Result<&'a Value, Bad> {
    row.get(name)
        .filter(|value| !value.is_null())
        .ok_or_else(|| {
            let keys: Vec<&str> = row.keys().map(String::as_str).collect();
            Bad::fields(format!(
                "field `{name}` is missing (the row has: {})",
                keys.join(", ")
            ))
        })
}

/// A field that is a text.
pub(super) fn text<'a>(row: &'a Object, name: &str) -> Result<&'a str, Bad> {
    field(row, name)?
        .as_str()
        .ok_or_else(|| Bad::fields(format!("field `{name}` is not a text")))
}

/// A text field that may be missing.
pub(super) fn optional<'a>(row: &'a Object, name: &str) -> Result<Option<&'a str>, Bad> {
    match row.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => text(row, name).map(Some),
    }
}

/// A field that is a number.
pub(super) fn number(row: &Object, name: &str) -> Result<f64, Bad> {
    field(row, name)?
        .as_f64()
        .filter(|value| value.is_finite())
        .ok_or_else(|| Bad::fields(format!("field `{name}` is not a number")))
}

/// A field that is a list.
pub(super) fn list<'a>(row: &'a Object, name: &str) -> Result<&'a [Value], Bad> {
    field(row, name)?
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| Bad::fields(format!("field `{name}` is not a list")))
}

/// A field that is a text or a list of messages.
pub(super) fn content(row: &Object, name: &str) -> Result<Content, Bad> {
    match field(row, name)? {
        Value::String(text) => Ok(Content::Text(text.clone())),
        Value::Array(list) => Ok(Content::Chat(messages(list, name)?)),
        _ => Err(Bad::fields(format!(
            "field `{name}` is neither a text nor a list of messages"
        ))),
    }
}

/// Messages `{"role", "content"}`.
pub(super) fn messages(list: &[Value], name: &str) -> Result<Vec<Message>, Bad> {
    list.iter()
        .enumerate()
        .map(|(i, value)| message(value, name, i))
        .collect()
}

fn message(value: &Value, name: &str, i: usize) -> Result<Message, Bad> {
    let get = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| Bad::fields(format!("`{name}[{i}].{key}` is missing or not a text")))
    };
    let role = match get("role")? {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            return Err(Bad::fields(format!(
                "`{name}[{i}].role` is {other:?}, expected system, user or assistant"
            )));
        }
    };
    Ok(Message {
        role,
        content: get("content")?.to_owned(),
    })
}
