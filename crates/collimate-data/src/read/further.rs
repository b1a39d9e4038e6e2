//! Keys of messages other than role and content.

use collimate_core::{Json, Message};
use serde_json::Value;

use super::Bad;
use super::fields::{Object, is_nothing};

/// Keys that chat templates read.
pub(super) const READ: [&str; 6] = [
    "tool_calls",
    "tool_call_id",
    "reasoning_content",
    "reasoning",
    "thinking",
    "name",
];

/// Key of tool calls, the only key whose objects have keys chosen by the user. The row parser keeps
/// tool calls as JSON text, because the order of their keys is the order of the tokens.
pub(super) const CALLS: &str = READ[0];

/// Returns the keys of a message that a chat template reads.
pub(super) fn further(object: &Object, name: &str, i: usize) -> Result<Vec<(String, Json)>, Bad> {
    let mut found = Vec::new();
    for key in READ {
        let wrong = |what: &str| Bad::fields(format!("`{name}[{i}].{key}` {what}"));
        let value = match object.get(key) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) if key == CALLS => match Json::parse(text) {
                Ok(Json::Null) => continue,
                Ok(calls @ Json::List(_)) => calls,
                _ => return Err(wrong("is not a list of calls")),
            },
            Some(Value::String(text)) => Json::Text(text.clone()),
            Some(_) if key == CALLS => return Err(wrong("is not a list of calls")),
            Some(_) => return Err(wrong("is not a text")),
        };
        found.push((key.to_owned(), value));
    }
    Ok(found)
}

/// Converts a content that is a list of texts into the form that a template sees.
///
/// # Errors
/// A part is not a text; the error names its type.
pub(super) fn parts(list: &[Value], name: &str, i: usize) -> Result<Json, Bad> {
    let one = |(at, part): (usize, &Value)| {
        let kind = part.get("type").and_then(Value::as_str);
        match (kind, part.get("text").and_then(Value::as_str)) {
            (Some("text"), Some(text)) => Ok(Json::Map(vec![
                ("type".to_owned(), "text".into()),
                ("text".to_owned(), text.into()),
            ])),
            (kind, _) => Err(Bad::fields(format!(
                "`{name}[{i}].content[{at}]` is a part of type {:?}: only parts of text are \
                 supported",
                kind.unwrap_or("none")
            ))),
        }
    };
    let parts: Result<Vec<Json>, Bad> = list.iter().enumerate().map(one).collect();
    parts.map(Json::List)
}

/// Returns the text of an answer.
///
/// # Errors
/// The answer has keys with content. Only a text is supported as an answer here.
pub(super) fn spoken(message: &Message, name: &str, i: usize) -> Result<String, Bad> {
    let says = |value: &Json| match serde_json::to_value(value) {
        Ok(value) => !is_nothing(&value),
        Err(_) => true,
    };
    let parts = |key: &str| key == "content";
    match message
        .further
        .iter()
        .find(|(key, value)| !parts(key) && says(value))
    {
        Some((key, _)) => Err(Bad::fields(format!(
            "`{name}[{i}].{key}` is not supported in an answer: remove the field, or write its \
             text into the content"
        ))),
        None if message.get("content") == Some(&Json::Null) => {
            Err(Bad::fields(format!("`{name}[{i}].content` is null")))
        }
        None => Ok(message.content.clone()),
    }
}
