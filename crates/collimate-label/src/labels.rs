//! The labels of a session as rows that TRL reads.

use collimate_core::{Message, Prompt, Role};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::queue::Verdict;
use crate::session::Session;

/// A label: the better and the worse of two answers, as one labeller judged them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// The better answer.
    pub chosen: &'a str,
    /// The other answer.
    pub rejected: &'a str,
    /// Name of the labeller.
    pub labeller: &'a str,
}

/// Serialises `prompt`, `chosen`, `rejected` and `labeller`. If the prompt is a conversation, each
/// answer is a list of one message.
impl Serialize for Label<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(None)?;
        match self.prompt {
            Prompt::Text(text) => {
                row.serialize_entry("prompt", text)?;
                row.serialize_entry("chosen", self.chosen)?;
                row.serialize_entry("rejected", self.rejected)?;
            }
            Prompt::Chat(messages) => {
                let turn = |text: &str| [Message::new(Role::Assistant, text)];
                // A pair with an empty prompt has no list of messages before the answer.
                if !messages.is_empty() {
                    row.serialize_entry("prompt", messages)?;
                }
                row.serialize_entry("chosen", &turn(self.chosen))?;
                row.serialize_entry("rejected", &turn(self.rejected))?;
            }
        }
        row.serialize_entry("labeller", self.labeller)?;
        row.end()
    }
}

impl Session {
    /// Returns the labels in the order in which they were decided. A label is the first decision of
    /// a labeller on a pair, if it is a choice. Ties, skips and repeats give no label.
    pub fn labels(&self) -> Vec<Label<'_>> {
        let mut numbered = Vec::new();
        for (labeller, queue) in self.queues() {
            for made in queue.made() {
                let (Verdict::Better(better), false) = (made.verdict, made.showing.repeat) else {
                    continue;
                };
                let pair = self.pairs().at(made.showing.pair);
                let answers = pair.answers();
                let label = Label {
                    prompt: pair.prompt(),
                    chosen: answers[better],
                    rejected: answers[1 - better],
                    labeller,
                };
                numbered.push((made.number, label));
            }
        }
        numbered.sort_unstable_by_key(|&(number, _)| number);
        numbered.into_iter().map(|(_, label)| label).collect()
    }
}
