//! Files that a run produces for later use: the labels that it gave, and the pairs to label next.

use std::path::Path;

use collimate::core::{Json, PreferencePair};
use collimate::files::atomic_write;
use collimate::recipes::ser::{AskNext, SelfLabel};
use serde_json::json;

use crate::common::Failure;
use crate::trl_rows::{Row, answer, asked, lines, number};

/// File of self-labelled pairs, in a form that TRL and other trainers read.
const SELF_LABELLED: &str = "self-labelled.jsonl";

/// File of pairs to label next, the most useful first.
const ASK_NEXT: &str = "ask-next.jsonl";

/// Lines of a run on the files that it hands on.
#[derive(Debug, Default)]
pub(super) struct HandedOn {
    /// A line on each file for the screen, with the next command.
    pub(super) lines: String,
    /// Sentences on the files for the report.
    pub(super) sentences: String,
}

/// Writes both files, each where it has a row.
pub(super) fn write(
    labels: &[SelfLabel],
    next: &[AskNext],
    run: &Path,
) -> Result<HandedOn, Failure> {
    let mut handed_on = HandedOn::default();
    if !labels.is_empty() {
        let path = run.join(SELF_LABELLED);
        let rows = labels
            .iter()
            .map(labelled)
            .collect::<Result<Vec<Row>, _>>()?;
        atomic_write(&path, lines(rows)?.as_bytes())?;
        handed_on.sentences +=
            "`self-labelled.jsonl` holds the pairs with self-labels, for any trainer. ";
        handed_on.lines += &format!(
            "self-labelled: {} pairs; train on them by: collimate reward --data {} --model DIR\n",
            labels.len(),
            path.display()
        );
    }
    if !next.is_empty() {
        let path = run.join(ASK_NEXT);
        let rows = next.iter().map(to_ask).collect::<Result<Vec<Row>, _>>()?;
        atomic_write(&path, lines(rows)?.as_bytes())?;
        handed_on.sentences += "`ask-next.jsonl` holds the pairs whose human labels would teach \
                                most; label them by `collimate label --from`. ";
        handed_on.lines += &format!(
            "to label next: {} pairs, the most useful first: collimate label --from {} --out more.jsonl\n",
            next.len(),
            path.display()
        );
    }
    Ok(handed_on)
}

fn text(value: &impl serde::Serialize) -> Json {
    match json!(value) {
        serde_json::Value::String(text) => Json::Text(text),
        _ => Json::Null,
    }
}

fn labelled(label: &SelfLabel) -> Result<Row, Failure> {
    let PreferencePair {
        prompt,
        chosen,
        rejected,
        ..
    } = &label.pair.pair;
    Ok(Row::from_iter([
        ("prompt".to_owned(), asked(prompt)?),
        ("chosen".to_owned(), answer(prompt, &chosen.text)?),
        ("rejected".to_owned(), answer(prompt, &rejected.text)?),
        ("probability".to_owned(), number(label.probability)),
        ("loop".to_owned(), Json::Number(label.loop_index.into())),
        ("status".to_owned(), text(&label.status)),
        ("rule".to_owned(), Json::Text(label.rule.clone())),
    ]))
}

fn to_ask(next: &AskNext) -> Result<Row, Failure> {
    let pair = &next.pair;
    Ok(Row::from_iter([
        ("prompt".to_owned(), asked(&pair.prompt)?),
        (
            "response_a".to_owned(),
            answer(&pair.prompt, &pair.first.text)?,
        ),
        (
            "response_b".to_owned(),
            answer(&pair.prompt, &pair.second.text)?,
        ),
        ("probability".to_owned(), number(Some(next.probability))),
        ("disagreement".to_owned(), number(Some(next.disagreement))),
    ]))
}
