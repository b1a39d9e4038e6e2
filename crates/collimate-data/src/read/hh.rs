//! HH-RLHF dialogues.

use collimate_core::{PreferencePair, Prompt};
use serde::{Deserialize, Serialize};

use super::fields::{Object, text};
use super::sink::Sink;
use super::{Bad, DropReason};

const HUMAN: &str = "\n\nHuman:";
const ASSISTANT: &str = "\n\nAssistant:";

/// Part of an HH-RLHF dialogue that the prompt keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HhTurns {
    /// The prompt keeps everything up to and including the last `\n\nAssistant:`.
    #[default]
    Full,
    /// The prompt starts at the last `\n\nHuman:`. This gives the last exchange as single-turn
    /// data, as in the SER paper.
    LastTurnOnly,
}

pub(super) fn row(
    row: &Object,
    turns: HhTurns,
    sink: &mut Sink<PreferencePair>,
) -> Result<(), Bad> {
    sink.seen.columns(row, &["chosen", "rejected"])?;
    let (chosen_prompt, chosen) = split(row, "chosen")?;
    let (rejected_prompt, rejected) = split(row, "rejected")?;
    // Compare before cutting turns: answers to different dialogues cannot be compared.
    if [chosen, rejected]
        .iter()
        .any(|answer| answer.contains(HUMAN))
    {
        sink.drop_one(DropReason::SeveralTurns);
        return Ok(());
    }
    if chosen_prompt != rejected_prompt {
        sink.drop_one(DropReason::DifferentPrompts);
        return Ok(());
    }
    let prompt = match turns {
        HhTurns::Full => chosen_prompt,
        HhTurns::LastTurnOnly => chosen_prompt
            .rfind(HUMAN)
            .map_or(chosen_prompt, |at| &chosen_prompt[at..]),
    };
    sink.pair(
        Prompt::Text(prompt.to_owned()),
        chosen.to_owned(),
        rejected.to_owned(),
        None,
    );
    Ok(())
}

/// Splits the dialogue after the last marker of the assistant.
fn split<'a>(row: &'a Object, name: &str) -> Result<(&'a str, &'a str), Bad> {
    let dialogue = text(row, name)?;
    let at = dialogue
        .rfind(ASSISTANT)
        .ok_or_else(|| Bad::fields(format!("field `{name}` has no \"\\n\\nAssistant:\" turn")))?;
    Ok(dialogue.split_at(at + ASSISTANT.len()))
}
