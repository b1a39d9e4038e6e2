//! Access to the fields of a JSON row, with errors that name the field.

use collimate_core::{Json, Message, Prompt, Role};
use serde_json::{Map, Value};

use super::Bad;
use super::further::{READ, further, parts};
use super::seen::Seen;

pub(super) type Object = Map<String, Value>;

/// A text or a conversation.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Text(String),
    Chat(Vec<Message>),
}

impl Content {
    pub(super) fn into_prompt(self) -> Prompt {
        match self {
            Self::Text(text) => Prompt::Text(text),
            Self::Chat(messages) => Prompt::Chat(messages),
        }
    }
}

/// Returns the field, or an error that lists the fields of the row.
pub(super) fn field<'a>(row: &'a Object, name: &str) -> Result<&'a Value, Bad> {
    match row.get(name) {
        Some(Value::Null) => Err(Bad::fields(format!("field `{name}` is null"))),
        Some(value) => Ok(value),
        None => Err(Bad::fields(format!(
            "field `{name}` is missing (the row has: {}){}",
            keys(row),
            other_case(row, name)
        ))),
    }
}

/// Returns the names of the fields of a row.
pub(super) fn keys(row: &Object) -> String {
    let mut keys: Vec<&str> = row.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys.join(", ")
}

fn other_case(row: &Object, name: &str) -> String {
    let same = |key: &&String| key.trim().eq_ignore_ascii_case(name);
    let found = row.keys().find(same);
    found.map_or_else(String::new, |key| format!(": rename `{key}`"))
}

/// Returns a field that is a text.
pub(super) fn text<'a>(row: &'a Object, name: &str) -> Result<&'a str, Bad> {
    field(row, name)?
        .as_str()
        .ok_or_else(|| Bad::fields(format!("field `{name}` is not a text")))
}

/// Returns a text field that may be missing.
pub(super) fn optional<'a>(row: &'a Object, name: &str) -> Result<Option<&'a str>, Bad> {
    match row.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => text(row, name).map(Some),
    }
}

/// Returns a field that is a number.
pub(super) fn number(row: &Object, name: &str) -> Result<f64, Bad> {
    field(row, name)?
        .as_f64()
        .filter(|value| value.is_finite())
        .ok_or_else(|| Bad::fields(format!("field `{name}` is not a number")))
}

/// Returns a field that is a list.
pub(super) fn list<'a>(row: &'a Object, name: &str) -> Result<&'a [Value], Bad> {
    field(row, name)?
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| Bad::fields(format!("field `{name}` is not a list")))
}

/// Returns a field that is a text or a list of messages.
pub(super) fn content(row: &Object, name: &str, seen: &mut Seen) -> Result<Content, Bad> {
    of_value(field(row, name)?, name, seen)
}

/// Converts a value that is a text or a list of messages.
pub(super) fn of_value(value: &Value, name: &str, seen: &mut Seen) -> Result<Content, Bad> {
    match value {
        Value::String(text) if holds_messages(text) => Err(Bad::fields(format!(
            "field `{name}` is a text that holds messages: give the messages themselves, as a list"
        ))),
        Value::String(text) => Ok(Content::Text(text.clone())),
        Value::Array(list) => Ok(Content::Chat(messages(list, name, seen)?)),
        _ => Err(Bad::fields(format!(
            "field `{name}` is neither a text nor a list of messages"
        ))),
    }
}

/// Returns true if a text contains printed messages, as a cell of a table may.
fn holds_messages(text: &str) -> bool {
    let Some(rest) = text.trim_start().strip_prefix('[') else {
        return false;
    };
    let Some(rest) = rest.trim_start().strip_prefix('{') else {
        return false;
    };
    let rest = rest.trim_start();
    ["'role':", "\"role\":", "'content':", "\"content\":"]
        .iter()
        .any(|key| rest.starts_with(key))
}

/// Keys of a message, other than role and content, that change its meaning.
const MEANT: [&str; 15] = [
    "tool_calls",
    "tool_call_id",
    "function_call",
    "tools",
    "reasoning_content",
    "reasoning",
    "thinking",
    "name",
    "image",
    "images",
    "audio",
    "video",
    "videos",
    "refusal",
    "prefix",
];

/// Reads messages `{"role", "content"}` with the keys that chat templates read. Other keys are an
/// error if they change the meaning of the message; else they are noted as unused.
pub(super) fn messages(list: &[Value], name: &str, seen: &mut Seen) -> Result<Vec<Message>, Bad> {
    list.iter()
        .enumerate()
        .map(|(i, value)| message(value, name, i, seen))
        .collect()
}

fn message(value: &Value, name: &str, i: usize, seen: &mut Seen) -> Result<Message, Bad> {
    let Some(object) = value.as_object() else {
        return Err(Bad::fields(format!(
            "`{name}[{i}]` is not a message with role and content"
        )));
    };
    other_keys(
        object,
        name,
        i,
        &[&READ[..], &["role", "content"]].concat(),
        seen,
    )?;
    let role = match member(object, name, i, "role")? {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => {
            return Err(Bad::fields(format!(
                "`{name}[{i}].role` is {other:?}, expected system, user, assistant or tool"
            )));
        }
    };
    let mut further = further(object, name, i)?;
    let calls = further.iter().any(|(key, _)| key == "tool_calls");
    let content = match object.get("content") {
        Some(Value::Array(list)) => {
            let given = parts(list, name, i)?;
            let texts = list.iter().filter_map(|part| part.get("text")?.as_str());
            let text = texts.collect();
            further.insert(0, ("content".to_owned(), given));
            text
        }
        // A message that only calls tools has no text.
        None | Some(Value::Null) if calls => {
            further.insert(0, ("content".to_owned(), Json::Null));
            String::new()
        }
        _ => member(object, name, i, "content")?.to_owned(),
    };
    Ok(Message {
        role,
        content,
        further,
    })
}

/// Returns a text field of an object in a list.
pub(super) fn member<'a>(
    object: &'a Object,
    name: &str,
    i: usize,
    key: &str,
) -> Result<&'a str, Bad> {
    let what = match object.get(key) {
        Some(Value::String(text)) => return Ok(text),
        Some(Value::Array(_)) => "is a list of parts: give one text",
        Some(Value::Null) => "is null",
        _ => "is missing or not a text",
    };
    Err(Bad::fields(format!("`{name}[{i}].{key}` {what}")))
}

/// Checks the unread keys of a message, or of another object in a list.
pub(super) fn other_keys(
    object: &Object,
    name: &str,
    i: usize,
    read: &[&str],
    seen: &mut Seen,
) -> Result<(), Bad> {
    for (key, value) in object {
        if read.contains(&key.as_str()) || is_nothing(value) {
            continue;
        }
        if MEANT.contains(&key.as_str()) {
            return Err(Bad::fields(format!(
                "`{name}[{i}].{key}` is not supported: remove the field, or write its text into \
                 the content"
            )));
        }
        seen.unused.insert(format!("{name}[].{key}"));
    }
    Ok(())
}

/// Returns true for a value without content: null, false or empty, also if written as JSON in a
/// text.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => matches!(text.trim(), "" | "[]" | "{}" | "null"),
        Value::Array(list) => list.iter().all(is_nothing),
        Value::Object(object) => object.values().all(is_nothing),
        _ => false,
    }
}
