//! Instructions as a reward.

use std::collections::HashMap;

use collimate_core::{Completion, Prompt, ScoreError, Scorer};

use crate::{Instruction, InstructionTask};

/// Scores an answer by the share of the instructions of its prompt that it follows to the letter,
/// from 0 to 1.
///
/// The reward has a known truth, so nothing has to be learnt and no model of a reward can be gamed.
#[derive(Debug, Clone)]
pub struct InstructionScorer {
    by_prompt: HashMap<String, Vec<Instruction>>,
}

impl InstructionScorer {
    /// Collects the instructions of prompts. Tasks with the same prompt are put together.
    #[must_use]
    pub fn new(tasks: impl IntoIterator<Item = InstructionTask>) -> Self {
        let mut by_prompt: HashMap<String, Vec<Instruction>> = HashMap::new();
        for task in tasks {
            let known = by_prompt.entry(task.prompt).or_default();
            known.extend(task.instructions);
        }
        Self { by_prompt }
    }

    /// Returns the instructions of a prompt: those of its text, or of its last message.
    fn instructions(&self, prompt: &Prompt) -> Option<&[Instruction]> {
        let text = match prompt {
            Prompt::Text(text) => text,
            Prompt::Chat(messages) => &messages.last()?.content,
        };
        self.by_prompt.get(text).map(Vec::as_slice)
    }
}

impl Scorer for InstructionScorer {
    /// # Errors
    /// No task has the prompt of an item.
    fn score(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f32>, ScoreError> {
        let score = |(index, (prompt, answer)): (usize, &(Prompt, Completion))| {
            let instructions = self.instructions(prompt).ok_or_else(|| {
                ScoreError::Other(format!(
                    "no instructions are known for the prompt of item {index}"
                ))
            })?;
            let followed = instructions
                .iter()
                .filter(|one| one.is_followed(&answer.text));
            Ok(followed.count() as f32 / instructions.len().max(1) as f32)
        };
        items.iter().enumerate().map(score).collect()
    }
}
