//! What is judged.

use collimate_core::{Completion, Prompt, Role};
use serde::{Deserialize, Serialize};

use crate::error::JudgeError;

/// An answer and what it answers.
///
/// A template that shows one question gets the text of the prompt: a text as it is, the content of
/// a chat that is one user message, else the whole chat as [`Prompt::to_plain`] writes it. A
/// two-turn template needs the chat [question, answer, question], a system message before it is not
/// shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Item {
    /// What was asked.
    pub prompt: Prompt,
    /// The answer to judge.
    pub answer: Completion,
}

impl Item {
    /// An item.
    pub fn new(prompt: impl Into<Prompt>, answer: impl Into<Completion>) -> Self {
        Self {
            prompt: prompt.into(),
            answer: answer.into(),
        }
    }

    /// True if the answer has no character that can be seen.
    pub fn is_empty(&self) -> bool {
        self.answer.text.trim().is_empty()
    }

    /// The question of a template that shows one.
    pub(crate) fn question(&self) -> String {
        match &self.prompt {
            Prompt::Chat(messages) => match messages.as_slice() {
                [only] if only.role == Role::User => only.content.clone(),
                _ => self.prompt.to_plain(),
            },
            Prompt::Text(text) => text.clone(),
        }
    }

    /// First question, first answer, second question.
    pub(crate) fn turns(&self) -> Option<[&str; 3]> {
        let Prompt::Chat(messages) = &self.prompt else {
            return None;
        };
        let turns = match messages.as_slice() {
            [system, turns @ ..] if system.role == Role::System => turns,
            turns => turns,
        };
        let [first, answer, second] = turns else {
            return None;
        };
        let roles = [first.role, answer.role, second.role];
        (roles == [Role::User, Role::Assistant, Role::User]).then_some([
            &*first.content,
            &*answer.content,
            &*second.content,
        ])
    }
}

/// Two models' answers to the same question.
///
/// The two prompts are equal but for a two-turn template, where each side has its own first answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AnswerPair {
    /// The answer whose wins are counted.
    pub a: Item,
    /// The answer it is compared with.
    pub b: Item,
}

impl AnswerPair {
    /// Two answers to one prompt.
    pub fn new(
        prompt: impl Into<Prompt>,
        a: impl Into<Completion>,
        b: impl Into<Completion>,
    ) -> Self {
        let prompt = prompt.into();
        Self {
            a: Item::new(prompt.clone(), a),
            b: Item::new(prompt, b),
        }
    }

    /// The same pair seen from the other side.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self {
            a: self.b,
            b: self.a,
        }
    }
}

impl AnswerPair {
    /// The question or questions that both sides answer.
    pub(crate) fn question(&self, index: usize, turns: bool) -> Result<[String; 2], JudgeError> {
        let question = |item: &Item| -> Result<[String; 2], JudgeError> {
            if !turns {
                return Ok([item.question(), String::new()]);
            }
            let [first, _, second] = item.turns().ok_or(JudgeError::Turns { index })?;
            Ok([first.to_owned(), second.to_owned()])
        };
        let (a, b) = (question(&self.a)?, question(&self.b)?);
        if a == b {
            Ok(a)
        } else {
            Err(JudgeError::Questions { index })
        }
    }
}
