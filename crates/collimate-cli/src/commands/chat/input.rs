//! Lines from the terminal or a pipe, and the commands among them.

use std::io::{BufRead, IsTerminal};

use super::settings::Setting;
use crate::common::{self, Failure};

/// List of commands for `/help`.
pub(super) const HELP: &str = "\
/clear, /reset  forget the conversation
/system TEXT    set the system message; without TEXT, remove it
/retry          write another answer to the last message
/temperature T, /top-p P, /top-k K, /repetition-penalty R, /max-new-tokens N, /seed SEED
                change how the next answers are drawn
/settings       show how answers are drawn
/quit           end, as Ctrl-D does
//TEXT          a message that begins with /";

/// The meaning of an input line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// An empty line.
    Nothing,
    /// A message to the model.
    Say(String),
    /// Forgets the turns.
    Clear,
    /// Sets the system message.
    System(String),
    /// Requests another answer.
    Retry,
    /// Sets a sampling option to another value.
    Set(Setting, String),
    /// Shows the sampling options.
    Settings,
    /// Shows the list of commands.
    Help,
    /// Ends the program.
    Quit,
    /// A command that does not exist.
    Unknown(String),
}

impl Command {
    /// Parses a line.
    pub(super) fn of(line: &str) -> Self {
        let line = line.trim();
        let Some(rest) = line.strip_prefix('/') else {
            return match line.is_empty() {
                true => Self::Nothing,
                false => Self::Say(line.to_owned()),
            };
        };
        if rest.starts_with('/') {
            return Self::Say(rest.to_owned());
        }
        let (name, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        match (name, text.trim()) {
            ("system", text) => Self::System(text.to_owned()),
            ("clear" | "reset", "") => Self::Clear,
            ("retry", "") => Self::Retry,
            ("help", "") => Self::Help,
            ("settings", "") => Self::Settings,
            ("quit" | "exit", "") => Self::Quit,
            (name, value) => match Setting::named(name) {
                Some(setting) => Self::Set(setting, value.to_owned()),
                None => Self::Unknown(line.to_owned()),
            },
        }
    }
}

/// Prompt sign that asks for a message.
pub(super) const SIGN: &str = "> ";

/// Reader of the lines of standard input.
pub(super) struct Lines {
    /// If true, a prompt sign is shown before each line.
    sign: bool,
    number: usize,
}

impl Lines {
    /// Creates a reader of lines from the beginning.
    pub(super) fn new(terminal: bool) -> Self {
        Self {
            sign: terminal && std::io::stdout().is_terminal(),
            number: 0,
        }
    }

    /// Returns the next line, or `None` at the end of the input.
    pub(super) fn next(&mut self) -> Result<Option<String>, Failure> {
        if self.sign {
            common::print(SIGN)?;
        }
        let mut bytes = Vec::new();
        let mut input = std::io::stdin().lock();
        let read = input
            .read_until(b'\n', &mut bytes)
            .map_err(|error| format!("standard input: {error}"))?;
        if read == 0 {
            if self.sign {
                common::print("\n")?;
            }
            return Ok(None);
        }
        self.number += 1;
        let number = self.number;
        let line = String::from_utf8(bytes).map_err(|_| {
            format!(
                "standard input:{number}: not valid UTF-8: convert the text, for example with iconv"
            )
        })?;
        // An editor may put a byte order mark at the start of a file.
        let line = match number {
            1 => line.trim_start_matches('\u{feff}').to_owned(),
            _ => line,
        };
        Ok(Some(line))
    }
}
