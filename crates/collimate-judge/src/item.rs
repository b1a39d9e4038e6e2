//! Items to judge: single answers and pairs of answers.

use collimate_core::{Completion, Prompt, Role};
use serde::{Deserialize, Serialize};

use crate::error::JudgeError;

/// An answer with its prompt.
///
/// A template with one question shows the text of the prompt. The text of a chat with a single user
/// message is the content of that message. The text of any other chat is the whole chat as
/// [`Prompt::to_plain`] writes it. A two-turn template needs the chat [question, answer, question].
/// It does not show a system message before them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Item {
    /// The prompt.
    pub prompt: Prompt,
    /// The answer to judge.
    pub answer: Completion,
}

impl Item {
    /// Makes an item.
    pub fn new(prompt: impl Into<Prompt>, answer: impl Into<Completion>) -> Self {
        Self {
            prompt: prompt.into(),
            answer: answer.into(),
        }
    }

    /// Returns true if the answer has only white space.
    pub fn is_empty(&self) -> bool {
        self.answer.text.trim().is_empty()
    }

    /// Returns the question for a template with one question.
    pub(crate) fn question(&self) -> String {
        match &self.prompt {
            Prompt::Chat(messages) => match messages.as_slice() {
                [only] if only.role == Role::User => only.content.clone(),
                _ => self.prompt.to_plain(),
            },
            Prompt::Text(text) => text.clone(),
        }
    }

    /// Returns first question, first answer and second question of a chat with two turns.
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

/// A duel: the answers of two models to the same question.
///
/// Both prompts are equal. With a two-turn template only the questions are equal, because each side
/// has its own first answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AnswerPair {
    /// The answer whose wins are counted.
    pub a: Item,
    /// The answer that `a` is compared with.
    pub b: Item,
}

impl AnswerPair {
    /// Makes a duel of two answers to one prompt.
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

    /// Returns the same duel with both sides exchanged.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self {
            a: self.b,
            b: self.a,
        }
    }
}

impl AnswerPair {
    /// Returns the question or questions that both sides answer.
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
