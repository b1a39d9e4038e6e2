//! The messages of a conversation.

use collimate::core::{Message, Role};

/// The system message and the turns so far, which begin with a user message.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    system: Option<String>,
    turns: Vec<Message>,
}

impl History {
    /// Creates a conversation without turns.
    pub(super) fn new(system: Option<String>) -> Self {
        Self {
            system: system.filter(|text| !text.is_empty()),
            turns: Vec::new(),
        }
    }

    /// Forgets the turns and keeps the system message.
    pub(super) fn clear(&mut self) {
        self.turns.clear();
    }

    /// Sets the system message; an empty text removes it.
    pub(super) fn set_system(&mut self, text: String) {
        self.system = Some(text).filter(|text| !text.is_empty());
    }

    /// Adds a user message.
    pub(super) fn say(&mut self, content: String) {
        // A last user message that has no answer yet is replaced.
        if self
            .turns
            .last()
            .is_some_and(|turn| turn.role == Role::User)
        {
            self.turns.pop();
        }
        self.turns.push(Message::new(Role::User, content));
    }

    /// Adds the model's answer.
    pub(super) fn answer(&mut self, content: String) {
        self.turns.push(Message::new(Role::Assistant, content));
    }

    /// Removes the last answer so that another can be written.
    pub(super) fn take_answer(&mut self) -> Option<String> {
        match self.turns.last().map(|turn| turn.role) {
            Some(Role::Assistant) => self.turns.pop().map(|turn| turn.content),
            _ => None,
        }
    }

    /// Returns true if the last message is the user's.
    pub(super) fn awaits_answer(&self) -> bool {
        self.turns
            .last()
            .is_some_and(|turn| turn.role == Role::User)
    }

    /// Drops the oldest user message with its answer, and returns the number of dropped messages.
    /// The last user message stays.
    pub(super) fn drop_oldest(&mut self) -> usize {
        let later = self
            .turns
            .iter()
            .skip(1)
            .position(|turn| turn.role == Role::User);
        match later {
            Some(at) => self.turns.drain(..=at).count(),
            None => 0,
        }
    }

    /// Returns all messages.
    pub(super) fn messages(&self) -> Vec<Message> {
        let system = self
            .system
            .iter()
            .map(|content| Message::new(Role::System, content.clone()));
        system.chain(self.turns.iter().cloned()).collect()
    }
}
