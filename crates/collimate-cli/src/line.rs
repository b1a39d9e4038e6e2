//! The command line: negative numbers as values, and errors on one line.

use std::ffi::OsString;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::common::{Failure, usage};

/// Parses the command line into options. An error is reported on one line.
pub(crate) fn parse<T: Parser>(arguments: impl Iterator<Item = OsString>) -> Result<T, Failure> {
    let parsed = T::try_parse_from(with_negative_numbers(arguments));
    parsed.map_err(|error| {
        let no_command = ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        if !error.use_stderr() || error.kind() == no_command {
            error.exit(); // --help and --version, or the help because no command is named
        }
        usage(one_line(&error))
    })
}

/// Returns the error without the usage, with the nearest name if there is one.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.split_whitespace().collect();
    let line = words.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    let near = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ];
    let near = near.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(name) => Some(name.clone()),
        // The nearest name is the last.
        ContextValue::Strings(names) => names.last().cloned(),
        _ => None,
    });
    match near {
        Some(near) => format!("{line}: did you mean {near}?"),
        None => line.to_owned(),
    }
}

/// Joins a negative number to the option before it. The parser would otherwise take `-1e-5` for a
/// flag, and the user would not see the range of the option.
fn with_negative_numbers(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut only_values = false;
    for argument in arguments {
        let option = joined.last().and_then(|last| last.to_str());
        let awaits = option.is_some_and(|last| last.starts_with("--") && !last.contains('='));
        if awaits && !only_values && is_negative(&argument) {
            let mut value = joined.pop().unwrap_or_default();
            value.push("=");
            value.push(argument);
            joined.push(value);
            continue;
        }
        only_values |= argument == "--";
        joined.push(argument);
    }
    joined
}

/// Returns true for the text of a number below 0.
fn is_negative(argument: &OsString) -> bool {
    let digits = argument.to_str().and_then(|text| text.strip_prefix('-'));
    digits.is_some_and(|digits| {
        digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && digits.parse::<f64>().is_ok()
    })
}
