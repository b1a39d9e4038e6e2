//! Examples for supervised fine-tuning.

use collimate_core::{Message, Prompt, Role};
use serde::{Deserialize, Serialize};

use super::fields::{Content, Object, content, list, messages};
use super::further::spoken;
use super::report::Note;
use super::sink::Sink;
use super::trl::after;
use super::{Bad, DropReason};
use crate::example::SftExample;

/// Turns of a conversation that become examples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SftTurns {
    /// The last turn of the assistant becomes an example. Everything before that turn is the
    /// prompt.
    #[default]
    Last,
    /// Each turn of the assistant becomes an example. Everything before a turn is its prompt.
    Every,
}

pub(super) fn messages_row(
    row: &Object,
    turns: SftTurns,
    sink: &mut Sink<SftExample>,
) -> Result<(), Bad> {
    sink.seen.columns(row, &["messages"])?;
    let conversation = messages(list(row, "messages")?, "messages", &mut sink.seen)?;
    let answers: Vec<usize> = (0..conversation.len())
        .filter(|&i| conversation[i].role == Role::Assistant)
        .collect();
    let used = match turns {
        SftTurns::Last => &answers[answers.len().saturating_sub(1)..],
        SftTurns::Every => &answers[..],
    };
    if used.is_empty() {
        sink.drop_one(DropReason::NoAnswer);
    }
    if answers
        .last()
        .is_some_and(|&last| last + 1 < conversation.len())
    {
        sink.seen.tell(Note::TurnsBehind);
    }
    for &i in used {
        let text = spoken(&conversation[i], "messages", i)?;
        sink.example(Prompt::Chat(conversation[..i].to_vec()), text);
    }
    Ok(())
}

pub(super) fn prompt_completion_row(row: &Object, sink: &mut Sink<SftExample>) -> Result<(), Bad> {
    if let Some(label) = row.get("label").filter(|label| label.is_boolean()) {
        return Err(Bad::fields(format!(
            "field `label` is {label}: fine-tuning takes good answers only: keep the good answers, \
             without the field, or train on both kinds with KTO (`collimate kto`; library: \
             `read_labelled`)"
        )));
    }
    sink.seen.columns(row, &["prompt", "completion"])?;
    let prompt = content(row, "prompt", &mut sink.seen)?.into_prompt();
    let completion = match content(row, "completion", &mut sink.seen)? {
        Content::Text(text) => text,
        Content::Chat(messages) => answer(messages)?,
    };
    let repeated = match &prompt {
        Prompt::Text(text) => after(text, &completion).map(str::to_owned),
        Prompt::Chat(_) => None,
    };
    if repeated.is_some() {
        sink.seen.tell(Note::PromptTakenOff);
    }
    sink.example(prompt, repeated.unwrap_or(completion));
    Ok(())
}

pub(super) fn answer(messages: Vec<Message>) -> Result<String, Bad> {
    match <[Message; 1]>::try_from(messages) {
        Ok([message]) if message.role == Role::Assistant => spoken(&message, "completion", 0),
        _ => Err(Bad::fields(
            "field `completion` is not one message of the assistant",
        )),
    }
}
