//! Prompts of pairs in columns with other names than `prompt`.

use collimate_core::{Message, Role};
use serde_json::Value;

use super::Bad;
use super::fields::{Content, Object, is_nothing};
use super::questions::joined;
use super::seen::Seen;

/// Names of columns that hold a prompt or a part of one.
const PROMPTS: &[&str] = &[
    "prompt",
    "prompts",
    "question",
    "questions",
    "instruction",
    "instructions",
    "inputs",
    "user",
    "task",
    "query",
    "input",
    "system",
    "system_prompt",
    "context",
    "human",
    "user_prompt",
    "user_input",
    "user_message",
    "prompt_text",
    "problem",
    "request",
    "post",
    "article",
    "document",
    "passage",
    "dialogue",
    "dialog",
    "conversation",
    "conversations",
    "history",
    "messages",
];

/// Returns true if the name of a column suggests a prompt.
pub(super) fn is_prompt_name(name: &str) -> bool {
    PROMPTS.contains(&name.trim().to_lowercase().as_str())
}

/// Returns the non-empty columns of a row whose names suggest a prompt.
fn candidates(row: &Object) -> Vec<(&str, &Value)> {
    row.iter()
        .filter(|(name, value)| *name != "prompt" && is_prompt_name(name) && !is_nothing(value))
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

/// Returns the prompt of a row without `prompt` if the columns are unambiguous. They are
/// unambiguous for `question`, or for `instruction` with or without `input`, each with or without
/// `system`. Returns `None` if no column has the name of a prompt.
///
/// # Errors
/// Columns with names of prompts in any other combination.
pub(super) fn by_other_name(row: &Object, seen: &mut Seen) -> Result<Option<Content>, Bad> {
    let found = candidates(row);
    if found.is_empty() {
        return Ok(None);
    }
    let mut parts = [None; 4];
    for (name, value) in &found {
        let known = ["system", "question", "instruction", "input"];
        let small = name.trim().to_lowercase();
        let at = known.iter().position(|known| *known == small);
        match (at, value.as_str()) {
            (Some(at), Some(text)) if parts[at].is_none() => parts[at] = Some(text),
            _ => return Err(doubtful(&found)),
        }
    }
    let text = match parts {
        [_, Some(question), None, None] => question.to_owned(),
        [_, None, Some(instruction), input] => joined(instruction, input),
        _ => return Err(doubtful(&found)),
    };
    for (name, _) in &found {
        seen.unused.remove(*name);
        seen.prompt_from.insert((*name).to_owned());
    }
    // An empty system message is dropped, but the row still counts as a conversation.
    let has_system = row
        .keys()
        .any(|name| name.trim().eq_ignore_ascii_case("system"));
    if !has_system {
        return Ok(Some(Content::Text(text)));
    }
    let message = |role, content| Message::new(role, content);
    let system = parts[0].map(|text| message(Role::System, text.to_owned()));
    let user = message(Role::User, text);
    Ok(Some(Content::Chat(
        system.into_iter().chain([user]).collect(),
    )))
}

/// Refuses a conversation if the row has a prompt that the conversation does not contain.
pub(super) fn check_held(row: &Object, conversation: &[Message]) -> Result<(), Bad> {
    let held = |text: &str| {
        let mut contents = conversation.iter().map(|m| m.content.trim());
        contents.any(|content| content == text.trim())
    };
    let strange: Vec<(&str, &Value)> = candidates(row)
        .into_iter()
        .filter(|(_, value)| value.as_str().is_some_and(|text| !held(text)))
        .collect();
    match strange.is_empty() {
        true => Ok(()),
        false => Err(doubtful(&strange)),
    }
}

/// Asks the user whether a column is the prompt. Returns an empty text if no column has the name of
/// a prompt.
pub(super) fn hint(row: &Object) -> String {
    let found = candidates(row);
    let names: Vec<String> = found.iter().map(|(name, _)| format!("`{name}`")).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(
            ": if {} holds the prompt, rename the column to `prompt`",
            names.join(" or ")
        ),
    }
}

fn doubtful(found: &[(&str, &Value)]) -> Bad {
    let names: Vec<String> = found.iter().map(|(name, _)| format!("`{name}`")).collect();
    Bad::fields(format!(
        "there is no `prompt`: if {} holds the prompt, rename the column to `prompt` and remove \
         all text that is not part of the prompt",
        names.join(" or ")
    ))
}
