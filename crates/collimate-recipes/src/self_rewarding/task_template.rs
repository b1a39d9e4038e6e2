//! Template of the prompt that asks for a new task.

use collimate_core::{Message, OptionError, Prompt, Role};
use collimate_judge::PromptStyle;
use serde::{Deserialize, Serialize};

/// Few-shot prompt that asks for a new task: `head`, `shot` for every known task, `tail`.
///
/// `{n}` is replaced by the number of the task, from 1, and `{task}` by the text of the task.
/// Places in the inserted text are not replaced.
///
/// # Examples
/// ```
/// use collimate_recipes::self_rewarding::TaskTemplate;
/// let prompt = TaskTemplate::default().render(&["Add 2 and 3.", "Name a {n} river."]);
/// let text = prompt.to_plain();
/// assert!(text.ends_with("Task 1: Add 2 and 3.\n\nTask 2: Name a {n} river.\n\nTask 3:"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TaskTemplate {
    /// Text at the start of the prompt.
    pub head: String,
    /// Text for one known task, with the place `{task}` and optionally `{n}`.
    pub shot: String,
    /// Text at the end of the prompt, which the new task continues; optionally with the place
    /// `{n}`.
    pub tail: String,
    /// Texts that end the new task, each of at least one character.
    pub stop: Vec<String>,
    /// Form of the prompt: one text, or a chat with one user message.
    pub style: PromptStyle,
}

impl Default for TaskTemplate {
    fn default() -> Self {
        Self {
            head: "Tasks for an assistant, each different from those before.\n\n".to_owned(),
            shot: "Task {n}: {task}\n\n".to_owned(),
            tail: "Task {n}:".to_owned(),
            stop: vec!["\nTask ".to_owned()],
            style: PromptStyle::Text,
        }
    }
}

impl TaskTemplate {
    /// Checks the template.
    ///
    /// # Errors
    /// A `shot` without the place `{task}`, or an empty `stop` text.
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        if !self.shot.contains("{task}") {
            let allowed = "a text with the place {task}";
            return Err(OptionError::new("tasks.template.shot", &self.shot, allowed));
        }
        if self.stop.iter().any(String::is_empty) {
            let allowed = "a text of at least one character";
            return Err(OptionError::new(
                "tasks.template.stop",
                "an empty text",
                allowed,
            ));
        }
        Ok(())
    }

    /// Returns the prompt that shows these tasks.
    pub fn render(&self, shots: &[&str]) -> Prompt {
        let mut text = self.head.clone();
        for (index, shot) in shots.iter().enumerate() {
            // The number is inserted first: a task may itself contain `{n}`.
            let numbered = self.shot.replace("{n}", &(index + 1).to_string());
            let parts: Vec<&str> = numbered.split("{task}").collect();
            text += &parts.join(shot);
        }
        text += &self.tail.replace("{n}", &(shots.len() + 1).to_string());
        match self.style {
            PromptStyle::Text => Prompt::Text(text),
            PromptStyle::Chat => Prompt::Chat(vec![Message::new(Role::User, text)]),
        }
    }
}

/// Returns the text of a prompt that can be an example task: a text, or a chat of one user message.
pub(super) fn as_task(prompt: &Prompt) -> Option<&str> {
    match prompt {
        Prompt::Text(text) => Some(text),
        Prompt::Chat(messages) => match messages.as_slice() {
            [only] if only.role == Role::User => Some(&only.content),
            _ => None,
        },
    }
}

/// Returns a new task in the same form as the seed prompts.
pub(super) fn as_prompt(task: &str, like: &Prompt) -> Prompt {
    match like {
        Prompt::Text(_) => Prompt::Text(task.to_owned()),
        Prompt::Chat(_) => Prompt::Chat(vec![Message::new(Role::User, task)]),
    }
}
