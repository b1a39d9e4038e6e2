//! Sources of prompts.

use std::io::IsTerminal;
use std::path::Path;

use collimate::core::Prompt;
use collimate::data::{DataError, Input, Numbering, Prompts, not_used};

use crate::common::{self, Failure};

/// A prompt, and its place in the input.
pub(crate) struct Asked {
    pub(crate) prompt: Prompt,
    pub(crate) place: String,
}

/// Reads the prompts of the command line, of a file or pipe, or of standard input.
pub(crate) fn read(given: &[String], file: Option<&Path>) -> Result<Vec<Asked>, Failure> {
    if !given.is_empty() {
        let numbered = given.iter().enumerate().map(|(index, text)| Asked {
            prompt: Prompt::from(text.as_str()),
            place: match given.len() {
                1 => "--prompt".to_owned(),
                _ => format!("--prompt number {}", index + 1),
            },
        });
        return Ok(numbered.collect());
    }
    let input = match file.filter(|file| *file != Path::new("-")) {
        Some(file) => Input::open(file),
        None => {
            if file.is_none() && std::io::stdin().is_terminal() {
                return Err(
                    "no prompt: give --prompt TEXT or --prompts FILE, or pipe prompts in, one per \
                     line"
                        .into(),
                );
            }
            Input::from_reader("standard input", std::io::stdin().lock())
        }
    };
    of(input)
}

/// Reads the prompts of an input, and reports unused columns.
pub(crate) fn of(input: Result<Input, DataError>) -> Result<Vec<Asked>, Failure> {
    let input = input.map_err(said)?;
    let name = input.path().display().to_string();
    let Prompts {
        prompts,
        unused,
        numbering,
    } = input.read_prompts().map_err(said)?;
    if let Some(unused) = not_used(&unused) {
        common::tell(&format!("{name}: {unused}"));
    }
    let place = |line: usize| match &numbering {
        Numbering::Lines => format!("{name}:{line}"),
        groups => format!("{name}: {}", groups.place(line)),
    };
    let asked = prompts.into_iter().map(|asked| Asked {
        prompt: asked.prompt,
        place: place(asked.line),
    });
    Ok(asked.collect())
}

fn said(error: DataError) -> Failure {
    match error {
        DataError::Missing { path } => {
            format!("--prompts {}: no such file: check the path", path.display()).into()
        }
        DataError::Empty { path } => {
            format!("{}: no prompt: write one prompt per line", path.display()).into()
        }
        error => error.into(),
    }
}
