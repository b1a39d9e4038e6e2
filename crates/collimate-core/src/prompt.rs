//! Prompts and completions.

use serde::{Deserialize, Serialize};

use crate::message::Message;

/// A prompt: plain text, or a conversation that a chat template renders.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Prompt {
    /// Plain text, tokenised as it is.
    Text(String),
    /// Messages, rendered by the model's chat template.
    Chat(Vec<Message>),
}

impl Prompt {
    /// Returns the text as a person would read it: the text itself, or the messages as lines
    /// `role: content`.
    pub fn to_plain(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Chat(messages) => messages
                .iter()
                .map(|m| format!("{}: {}", m.role.name(), m.content))
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }

    /// Returns true if the prompt asks nothing: an empty text, or no message.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Chat(messages) => messages.is_empty(),
        }
    }
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Reason why a completion ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The end-of-sequence token, or a finished text from a file.
    #[default]
    Eos,
    /// A stop string.
    Stop,
    /// The length limit: the text is cut.
    Length,
}

/// One answer to a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Completion {
    /// The answer's text.
    pub text: String,
    /// Sampled token ids, if known: tokenising the text again can give other tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Vec<u32>>,
    /// Reason why the completion ended.
    #[serde(default)]
    pub finish: Finish,
}

impl From<&str> for Completion {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<String> for Completion {
    fn from(text: String) -> Self {
        Self {
            text,
            tokens: None,
            finish: Finish::Eos,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Role;

    #[test]
    fn plain_text_of_a_chat_names_the_roles() {
        let chat = Prompt::Chat(vec![
            Message::new(Role::User, "2+2?"),
            Message::new(Role::Assistant, "4"),
        ]);
        assert_eq!(chat.to_plain(), "user: 2+2?\nassistant: 4");
        assert!(!chat.is_empty());
        assert!(Prompt::from("").is_empty());
    }
}
