//! Cases that are judged: one answer, or an answer of each side, to one question.

use std::collections::HashMap;

use collimate::core::{Message, Prompt, Role};
use collimate::judge::{AnswerPair, Item};

/// One answer, or one of each side.
#[derive(Debug)]
pub(crate) struct Case {
    /// Id of the question in its file, or its number.
    pub(crate) id: String,
    pub(crate) category: Option<String>,
    /// Turn in the conversation: 1, or 2 for the answer to a second question.
    pub(crate) turn: usize,
    /// Number of the question. Cases with equal numbers are resampled together for intervals.
    pub(crate) group: usize,
    pub(crate) a: Item,
    pub(crate) b: Option<Item>,
}

impl Case {
    /// Returns the answers of both sides, if there are two.
    pub(crate) fn duel(&self) -> Option<AnswerPair> {
        Some(AnswerPair {
            a: self.a.clone(),
            b: self.b.clone()?,
        })
    }
}

/// Creates a user message.
pub(crate) fn user(content: impl Into<String>) -> Message {
    Message::new(Role::User, content)
}

/// Turns a text into one user message.
pub(crate) fn as_chat(prompt: &mut Prompt) {
    if let Prompt::Text(text) = prompt {
        *prompt = Prompt::Chat(vec![user(std::mem::take(text))]);
    }
}

/// Returns first question, first answer and second question if the prompt has this shape. The judge
/// is then shown both turns.
pub(crate) fn two_turns(prompt: &Prompt) -> Option<[&str; 3]> {
    let Prompt::Chat(messages) = prompt else {
        return None;
    };
    let messages = match messages.as_slice() {
        [system, rest @ ..] if system.role == Role::System => rest,
        all => all,
    };
    let [first, answer, second] = messages else {
        return None;
    };
    let roles = [first.role, answer.role, second.role];
    let shape = [Role::User, Role::Assistant, Role::User];
    (roles == shape).then_some([&*first.content, &*answer.content, &*second.content])
}

/// Returns a text that is equal for prompts that ask the same question. A chat of one user message
/// counts as its text. With two turns, the first answer is ignored, because it differs between the
/// sides.
pub(crate) fn question(prompt: &Prompt) -> String {
    if let Some([first, _, second]) = two_turns(prompt) {
        return format!("{first}\0{second}");
    }
    match prompt {
        Prompt::Chat(messages) => match messages.as_slice() {
            [only] if only.role == Role::User => only.content.clone(),
            _ => prompt.to_plain(),
        },
        Prompt::Text(text) => text.clone(),
    }
}

/// Assigns numbers to names, from 0 in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct Numbers(HashMap<String, usize>);

impl Numbers {
    pub(crate) fn of(&mut self, name: &str) -> usize {
        let next = self.0.len();
        *self.0.entry(name.to_owned()).or_insert(next)
    }
}
