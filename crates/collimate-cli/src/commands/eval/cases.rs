//! What is judged: one answer, or two answers of two sides, to one question.

use std::collections::HashMap;

use collimate::core::{Message, Prompt, Role};
use collimate::judge::{AnswerPair, Item};

/// One answer, or one of each side.
#[derive(Debug)]
pub(crate) struct Case {
    /// The question's id in its file, or its number.
    pub(crate) id: String,
    pub(crate) category: Option<String>,
    /// 1, or 2 for the answer to a second question of the same conversation.
    pub(crate) turn: usize,
    /// Equal numbers, equal questions: what intervals draw together.
    pub(crate) group: usize,
    pub(crate) a: Item,
    pub(crate) b: Option<Item>,
}

impl Case {
    /// Both sides, where there are two.
    pub(crate) fn duel(&self) -> Option<AnswerPair> {
        Some(AnswerPair {
            a: self.a.clone(),
            b: self.b.clone()?,
        })
    }
}

/// A message of the user.
pub(crate) fn user(content: impl Into<String>) -> Message {
    Message::new(Role::User, content)
}

/// Makes a text one message of the user.
pub(crate) fn as_chat(prompt: &mut Prompt) {
    if let Prompt::Text(text) = prompt {
        *prompt = Prompt::Chat(vec![user(std::mem::take(text))]);
    }
}

/// First question, first answer, second question, if that is the prompt's shape: the judge is then
/// shown both turns.
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

/// What two prompts have in common if they ask the same. A chat of one user message is its text. In
/// two turns the first answer is each side's own.
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

/// Numbers things by their names, from 0 in the order in which they come.
#[derive(Debug, Default)]
pub(crate) struct Numbers(HashMap<String, usize>);

impl Numbers {
    pub(crate) fn of(&mut self, name: &str) -> usize {
        let next = self.0.len();
        *self.0.entry(name.to_owned()).or_insert(next)
    }
}
