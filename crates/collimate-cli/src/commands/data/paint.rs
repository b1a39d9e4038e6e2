//! Colours for a terminal.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

/// Switch for colours: on or off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    /// Returns colours if standard output is a terminal and `NO_COLOR` is not set.
    pub(super) fn of_stdout() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(std::io::stdout().is_terminal() && !plain)
    }

    /// Colours a text that the model learns from.
    pub(super) fn learned(self, text: &str) -> String {
        self.with(AnsiColor::Green.on_default(), text)
    }

    /// Colours a special token.
    pub(super) fn special(self, text: &str) -> String {
        self.with(AnsiColor::Cyan.on_default(), text)
    }

    /// Colours a part that is cut.
    pub(super) fn cut(self, text: &str) -> String {
        self.with(AnsiColor::Yellow.on_default(), text)
    }

    /// Marks a heading.
    pub(super) fn heading(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    fn with(self, style: Style, text: &str) -> String {
        match self.0 {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }
}
