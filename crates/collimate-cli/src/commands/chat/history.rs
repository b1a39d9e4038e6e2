//! The messages of a conversation.

use collimate::core::{Message, Role};

/// The system's message and the turns so far, a message of the user first.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    system: Option<String>,
    turns: Vec<Message>,
}

impl History {
    /// A conversation without turns.
    pub(super) fn new(system: Option<String>) -> Self {
        Self {
            system: system.filter(|text| !text.is_empty()),
            turns: Vec::new(),
        }
    }

    /// Forgets the turns and keeps the system's message.
    pub(super) fn clear(&mut self) {
        self.turns.clear();
    }

    /// Sets the system's message; an empty one is none.
    pub(super) fn set_system(&mut self, text: String) {
        self.system = Some(text).filter(|text| !text.is_empty());
    }

    /// Adds a message of the user.
    pub(super) fn say(&mut self, content: String) {
        // Two messages of the user in a row: the one without an answer is not in the way.
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

    /// Takes the last answer out, so that there can be another one.
    pub(super) fn take_answer(&mut self) -> Option<String> {
        match self.turns.last().map(|turn| turn.role) {
            Some(Role::Assistant) => self.turns.pop().map(|turn| turn.content),
            _ => None,
        }
    }

    /// True if the last message is the user's.
    pub(super) fn awaits_answer(&self) -> bool {
        self.turns
            .last()
            .is_some_and(|turn| turn.role == Role::User)
    }

    /// Drops the oldest message of the user with its answer; returns how many messages went. The
    /// last message of the user stays.
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

    /// All messages.
    pub(super) fn messages(&self) -> Vec<Message> {
        let system = self
            .system
            .iter()
            .map(|content| Message::new(Role::System, content.clone()));
        system.chain(self.turns.iter().cloned()).collect()
    }
}
