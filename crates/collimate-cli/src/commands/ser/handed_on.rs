//! Files that a run produces for later use: the labels that it gave, and the pairs to label next.

use collimate::core::{Json, PreferencePair};
use collimate::files::atomic_write;
use collimate::nn::Backbone;
use collimate::recipes::ser::{AskNext, SelfLabel, SerOutcome};
use collimate::run::RunFolder;
use serde_json::json;

use crate::common::Failure;
use crate::trl_rows::{Row, answer, asked, lines, number};

/// File of self-labelled pairs, in a form that TRL and other trainers read.
const SELF_LABELLED: &str = "self-labelled.jsonl";

/// File of pairs to label next, the most useful first.
const ASK_NEXT: &str = "ask-next.jsonl";

/// Writes each file that has a row. Returns a line about each file, with the next command.
pub(super) fn write<B: Backbone>(
    outcome: &SerOutcome<B>,
    run: &RunFolder,
) -> Result<String, Failure> {
    let mut told = String::new();
    let labels = &outcome.self_labels;
    if !labels.is_empty() {
        let path = run.path().join(SELF_LABELLED);
        let rows = labels
            .iter()
            .map(labelled)
            .collect::<Result<Vec<Row>, _>>()?;
        atomic_write(&path, lines(rows)?.as_bytes())?;
        told += &format!(
            "self-labelled: {} pairs; train on them by: collimate reward --data {} --model DIR\n",
            labels.len(),
            path.display()
        );
    }
    let next = &outcome.ask_next;
    if !next.is_empty() {
        let path = run.path().join(ASK_NEXT);
        let rows = next.iter().map(to_ask).collect::<Result<Vec<Row>, _>>()?;
        atomic_write(&path, lines(rows)?.as_bytes())?;
        told += &format!(
            "to label next: {} pairs, the most useful first: collimate label --from {} --out more.jsonl\n",
            next.len(),
            path.display()
        );
    }
    Ok(told)
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
        ("probability".to_owned(), number(Some(label.probability))),
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
