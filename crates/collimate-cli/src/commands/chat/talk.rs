//! The lines of a conversation, and the answers to them.

use collimate::core::{Completion, Prompt, Sampling, Scorer};

use super::history::History;
use super::input::{self, Command, Lines};
use super::interrupt::Stop;
use super::settings;
use super::side::{Answered, Side};
use crate::common::{self, Failure};

/// A conversation with one model, or with two models that get the same messages.
pub(super) struct Chat {
    pub(super) sides: Vec<Side>,
    pub(super) sampling: Sampling,
    /// The model that scores answers.
    pub(super) reward: Option<Box<dyn Scorer>>,
    /// Number of retries of the last message.
    pub(super) tries: u64,
    /// True if the input is a terminal.
    pub(super) terminal: bool,
    pub(super) stop: Stop,
}

impl Chat {
    /// Reads and answers lines until the input ends.
    pub(super) fn talk(&mut self) -> Result<(), Failure> {
        let mut lines = Lines::new(self.terminal);
        while let Some(line) = lines.next()? {
            let command = Command::of(&line);
            if command == Command::Quit {
                return Ok(());
            }
            match self.obey(command) {
                // A person can try again; a script cannot.
                Err(error) if self.terminal => common::tell(&format!("error: {error}")),
                other => other?,
            }
        }
        Ok(())
    }

    fn obey(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Nothing | Command::Quit => {}
            Command::Say(text) => return self.say(&text),
            Command::Clear => {
                self.each(History::clear);
                self.tell("the conversation is empty again");
            }
            Command::System(text) => {
                self.each(|history| history.set_system(text.clone()));
                self.tell("the next answer follows the new system message");
            }
            Command::Retry => return self.retry(),
            Command::Set(setting, value) => {
                self.sampling = setting.change(&self.sampling, &value)?;
                self.tell(&settings::line(&self.sampling));
            }
            Command::Settings => common::tell(&settings::line(&self.sampling)),
            Command::Help => common::tell(input::HELP),
            Command::Unknown(name) => {
                return Err(format!(
                    "{name}: no such command: /help lists the commands; write // to begin a \
                     message with /"
                )
                .into());
            }
        }
        Ok(())
    }

    fn tell(&self, line: &str) {
        if self.terminal {
            common::tell(line);
        }
    }

    fn each(&mut self, change: impl Fn(&mut History)) {
        self.sides
            .iter_mut()
            .for_each(|side| change(&mut side.history));
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        let before = self.histories();
        self.each(|history| history.say(text.to_owned()));
        self.tries = 0;
        self.answer(before)
    }

    fn retry(&mut self) -> Result<(), Failure> {
        let before = self.histories();
        self.each(|history| drop(history.take_answer()));
        if !self.sides.iter().all(|side| side.history.awaits_answer()) {
            self.restore(before);
            return Err("/retry: there is no message yet: write a message first".into());
        }
        self.tries += 1;
        self.answer(before)
    }

    fn histories(&self) -> Vec<History> {
        self.sides.iter().map(|side| side.history.clone()).collect()
    }

    fn restore(&mut self, histories: Vec<History>) {
        for (side, history) in self.sides.iter_mut().zip(histories) {
            side.history = history;
        }
    }

    /// Lets every model answer the last message. After an error, the conversations are restored to
    /// `before`.
    fn answer(&mut self, before: Vec<History>) -> Result<(), Failure> {
        let mut answers = Vec::new();
        for side in &mut self.sides {
            match side.answer(&self.sampling, self.tries, &self.stop) {
                Ok(answered) => answers.push((side.mark, answered)),
                Err(error) => {
                    self.restore(before);
                    return Err(error);
                }
            }
        }
        match &self.reward {
            Some(reward) => show_rewards(reward.as_ref(), answers),
            None => Ok(()),
        }
    }
}

/// Prints the rewards of answers in one line: `reward: A 0.1234, B -1.5000`.
fn show_rewards(
    reward: &dyn Scorer,
    answers: Vec<(Option<&'static str>, Answered)>,
) -> Result<(), Failure> {
    let (mut marks, mut items) = (Vec::new(), Vec::new());
    for (mark, Answered { asked, text }) in answers {
        if let Some(text) = text {
            marks.push(mark);
            items.push((Prompt::Chat(asked), Completion::from(text)));
        }
    }
    if items.is_empty() {
        return Ok(());
    }
    let scores = reward
        .score(&items)
        .map_err(|error| format!("--reward: {error}"))?;
    let shown: Vec<String> = marks
        .iter()
        .zip(scores)
        .map(|(mark, score)| match mark {
            Some(mark) => format!("{mark} {score:.4}"),
            None => format!("{score:.4}"),
        })
        .collect();
    common::print(&format!("reward: {}\n", shown.join(", ")))
}
