//! Where prompts come from.

use std::io::{IsTerminal, Read};
use std::path::Path;

use collimate::core::{Message, Prompt};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::common::Failure;

/// A prompt, and where it stood.
pub(crate) struct Asked {
    pub(crate) prompt: Prompt,
    pub(crate) place: String,
}

/// The prompts of the command line, of a file, or of standard input.
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
    let (name, bytes, json) = match file.filter(|file| *file != Path::new("-")) {
        Some(file) => {
            let bytes = std::fs::read(file)
                .map_err(|error| format!("--prompts {}: {error}", file.display()))?;
            let json = file
                .extension()
                .is_some_and(|e| e == "jsonl" || e == "json");
            (file.display().to_string(), bytes, Some(json))
        }
        None => {
            if file.is_none() && std::io::stdin().is_terminal() {
                return Err(
                    "no prompt: give --prompt TEXT or --prompts FILE, or pipe prompts in, \
                            one a line"
                        .into(),
                );
            }
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            ("standard input".to_owned(), bytes, None)
        }
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("{name}: not UTF-8: convert it, for example with iconv"))?;
    // Some editors write a byte order mark.
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let json = json.unwrap_or_else(|| begins_with_an_object(text));
    let mut asked = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = format!("{name}:{}", index + 1);
        let prompt = match json {
            true => row(line).map_err(|what| format!("{place}: {what}"))?,
            false => Prompt::from(line),
        };
        asked.push(Asked { prompt, place });
    }
    if asked.is_empty() {
        return Err(format!("{name}: no prompt: write one a line").into());
    }
    Ok(asked)
}

/// Whether the first line that holds something is a JSON object: a prompt may begin with `{` too.
fn begins_with_an_object(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty());
    first.is_some_and(|line| serde_json::from_str::<Map<String, Value>>(line).is_ok())
}

/// What a row may hold; other columns are passed over.
#[derive(Deserialize)]
struct Row {
    prompt: Option<Value>,
    messages: Option<Vec<Message>>,
}

fn row(line: &str) -> Result<Prompt, String> {
    let row: Row = serde_json::from_str(line).map_err(|error| {
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        format!("not a row of prompts: {what}: write {{\"prompt\": \"a text\"}}")
    })?;
    match (row.prompt, row.messages) {
        (Some(prompt), None) => serde_json::from_value(prompt).map_err(|_| {
            "prompt is neither a text nor a list of messages with role (system, user, assistant) \
             and content"
                .to_owned()
        }),
        (None, Some(messages)) => Ok(Prompt::Chat(messages)),
        (Some(_), Some(_)) => Err("has prompt and messages: keep one of them".to_owned()),
        (None, None) => Err("has neither prompt nor messages".to_owned()),
    }
}
