//! HelpSteer: two answers with a signed preference.

use collimate_core::PreferencePair;

use super::fields::{Content, Object, content, number, text};
use super::sink::Sink;
use super::{Bad, DropReason};

/// Columns of the two answers and of the preference, by version.
struct Layout {
    prompt: &'static str,
    answers: [&'static str; 2],
    preference: &'static str,
}

const VERSIONS: [Layout; 2] = [
    Layout {
        prompt: "context",
        answers: ["response1", "response2"],
        preference: "overall_preference",
    },
    Layout {
        prompt: "prompt",
        answers: ["response_1", "response_2"],
        preference: "preference_strength",
    },
];

/// Largest preference, for either answer.
const MOST: f64 = 3.0;

/// Returns true for a row with the columns of either version.
pub(super) fn is_row(row: &Object) -> bool {
    layout(row).is_some()
}

fn layout(row: &Object) -> Option<&'static Layout> {
    let whole = |layout: &&Layout| {
        let all = [layout.prompt, layout.preference];
        let mut names = all.iter().chain(&layout.answers);
        names.all(|name| row.contains_key(*name))
    };
    VERSIONS.iter().find(whole)
}

/// Reads a pair. In both versions a preference below 0 means that the first answer is better; its
/// size is the gap of the pair. A preference of 0 is a tie, which is dropped.
pub(super) fn row(row: &Object, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    read(row, true, sink)
}

/// Reads both answers and ignores the preference, so that a tie is no reason to drop them.
pub(super) fn unlabelled_row(row: &Object, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    read(row, false, sink)
}

fn read(row: &Object, labelled: bool, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    let Some(layout) = layout(row) else {
        return Err(Bad::fields(
            "a row needs `context`, `response1`, `response2` and `overall_preference`, or `prompt`, \
             `response_1`, `response_2` and `preference_strength`",
        ));
    };
    let [first, second] = layout.answers;
    sink.seen
        .columns(row, &[layout.prompt, layout.preference, first, second])?;
    let prompt = content(row, layout.prompt, &mut sink.seen)?;
    if matches!(&prompt, Content::Chat(messages) if messages.is_empty()) {
        return Err(Bad::fields(format!("field `{}` is empty", layout.prompt)));
    }
    let [first, second] = [text(row, first)?, text(row, second)?].map(str::to_owned);
    let preference = match labelled {
        true => number(row, layout.preference)?,
        false => -MOST,
    };
    if preference.abs() > MOST {
        return Err(Bad::fields(format!(
            "field `{}` is {preference}: it must be between -{MOST} (the first answer is better) \
             and {MOST}",
            layout.preference
        )));
    }
    if preference == 0.0 {
        sink.drop_one(DropReason::Tie);
        return Ok(());
    }
    let (chosen, rejected) = match preference < 0.0 {
        true => (first, second),
        false => (second, first),
    };
    let gap = labelled.then_some(preference.abs());
    sink.pair(prompt.into_prompt(), chosen, rejected, gap);
    Ok(())
}
