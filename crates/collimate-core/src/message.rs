//! Turns of conversations.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::Json;

/// Speaker of a chat message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that hold for the whole conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool that the model called.
    Tool,
}

impl Role {
    /// Returns the name as files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of a conversation.
///
/// `further` holds the other keys that a chat template sees, in their order: `tool_calls`,
/// `reasoning_content`, `name`, `tool_call_id` and others. If the given content was not a text but
/// a list of parts or null, the key `content` in `further` holds it unchanged. The field `content`
/// then holds the text of the parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Message {
    /// Speaker of the turn.
    pub role: Role,
    /// Text of the turn.
    pub content: String,
    /// Keys other than `role` and `content`, with their values.
    pub further: Vec<(String, Json)>,
}

impl Message {
    /// Makes a message of a role and a text.
    ///
    /// # Examples
    /// ```
    /// use collimate_core::{Message, Role};
    /// let message = Message::new(Role::User, "2+2?");
    /// assert_eq!((message.content.as_str(), message.further.len()), ("2+2?", 0));
    /// ```
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            further: Vec::new(),
        }
    }

    /// Returns the value of a further key.
    pub fn get(&self, key: &str) -> Option<&Json> {
        let found = self.further.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    }
}

/// Returns the text of a content: the text itself, or the joined texts of its parts.
fn text_of(content: &Json) -> String {
    match content {
        Json::Text(text) => text.clone(),
        Json::List(parts) => parts
            .iter()
            .filter_map(|part| part.get("text")?.as_str())
            .collect(),
        _ => String::new(),
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", &self.role)?;
        match self.get("content") {
            Some(given) => map.serialize_entry("content", given)?,
            None => map.serialize_entry("content", &self.content)?,
        }
        for (key, value) in self.further.iter().filter(|(key, _)| key != "content") {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Message;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message with role and content")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Message, A::Error> {
        let (mut role, mut content, mut further) = (None, None, Vec::new());
        while let Some(key) = entries.next_key::<String>()? {
            match key.as_str() {
                "role" => role = Some(entries.next_value()?),
                "content" => content = Some(entries.next_value::<Json>()?),
                _ => further.push((key, entries.next_value()?)),
            }
        }
        let role = role.ok_or_else(|| A::Error::missing_field("role"))?;
        let content = content.ok_or_else(|| A::Error::missing_field("content"))?;
        let text = text_of(&content);
        if content.as_str().is_none() {
            further.insert(0, ("content".to_owned(), content));
        }
        Ok(Message {
            role,
            content: text,
            further,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_written_as_before_and_keeps_further_keys() {
        let plain = Message::new(Role::User, "q");
        let text = serde_json::to_string(&plain).unwrap();
        assert_eq!(text, r#"{"role":"user","content":"q"}"#);
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), plain);
        let calls = r#"{"role":"assistant","content":null,"tool_calls":[{"z":1,"a":2}]}"#;
        let message: Message = serde_json::from_str(calls).unwrap();
        assert_eq!(message.content, "");
        assert_eq!(serde_json::to_string(&message).unwrap(), calls);
        let parts = r#"{"role":"tool","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"name":"f"}"#;
        let message: Message = serde_json::from_str(parts).unwrap();
        assert_eq!((message.role, message.content.as_str()), (Role::Tool, "ab"));
        assert_eq!(serde_json::to_string(&message).unwrap(), parts);
        assert!(serde_json::from_str::<Message>(r#"{"role":"user"}"#).is_err());
    }
}
