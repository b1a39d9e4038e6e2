//! A prompt with one answer to imitate.

use collimate_core::{Completion, PreferencePair, Prompt};
use serde::{Deserialize, Serialize};

/// One example of supervised fine-tuning: the loss is on the completion only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SftExample {
    /// The prompt that the completion answers.
    pub prompt: Prompt,
    /// The answer to imitate.
    pub completion: Completion,
}

impl From<&PreferencePair> for SftExample {
    /// Takes the chosen answer of a pair. SER fine-tunes on it before any reward model exists.
    fn from(pair: &PreferencePair) -> Self {
        Self {
            prompt: pair.prompt.clone(),
            completion: pair.chosen.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_answer_becomes_the_example() {
        let example = SftExample::from(&PreferencePair::new("q", "good", "bad"));
        assert_eq!(example.prompt, Prompt::from("q"));
        assert_eq!(example.completion.text, "good");
    }
}
