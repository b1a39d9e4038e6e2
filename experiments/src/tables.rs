//! Markdown tables of cells and numbers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::results::newest;
use crate::{Cell, Row, Step};

/// Text for a number that does not exist.
pub(crate) const ABSENT: &str = "–";

/// Lists every cell with its id, state, numbers and command.
pub fn cell_list(cells: &[Cell], rows: &[Row]) -> String {
    let newest = newest(rows);
    let found = cells.iter().filter_map(|cell| newest.get(cell.id.as_str()));
    let fields: BTreeSet<&String> = found.flat_map(|row| row.fields.keys()).collect();
    let mut head = vec!["id", "cell", "state", "commit", "seconds"];
    head.extend(fields.iter().map(|name| name.as_str()));
    head.push("command");
    let body = cells.iter().map(|cell| {
        let row = newest.get(cell.id.as_str());
        let state = match row {
            None => "to do",
            Some(row) if row.is_ok() => "done",
            Some(_) => "failed",
        };
        let commit = row.and_then(|row| Some(row.commit.as_ref()?.get(..9)?.to_owned()));
        let dirty = row.filter(|row| row.dirty).map_or("", |_| " dirty");
        let seconds = row.map(|row| format!("{:.1}", row.seconds));
        let mut line = vec![cell.id.clone(), cell.name.clone(), state.to_owned()];
        line.push(commit.unwrap_or_default() + dirty);
        line.push(seconds.unwrap_or_default());
        line.extend(fields.iter().map(|name| {
            let value = row.and_then(|row| row.fields.get(*name)?.as_f64());
            value.map_or(ABSENT.to_owned(), number)
        }));
        let commands: Vec<String> = cell.steps.iter().map(command).collect();
        line.push(commands.join("; "));
        line
    });
    markdown(&head, body)
}

fn command(step: &Step) -> String {
    let words = step.words().chain(step.args.iter().cloned());
    let config = step.config_text().map(|text| format!("--config {text}"));
    let words: Vec<String> = words.chain(config).collect();
    format!("collimate {}", words.join(" "))
}

/// Writes fields on one line, for example `loop0 0.7018, ser 0.7095`.
pub(crate) fn fields_line(fields: &BTreeMap<String, Value>) -> String {
    let word =
        |(name, value): (&String, &Value)| Some(format!("{name} {}", number(value.as_f64()?)));
    let words: Vec<String> = fields.iter().filter_map(word).collect();
    words.join(", ")
}

/// Writes a number with four decimal places if it is a share, with fewer if it is large.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 4,
    };
    format!("{value:.digits$}")
}

pub(crate) fn markdown(head: &[&str], body: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let escaped = |cells: Vec<String>| cells.iter().map(|c| c.replace('|', "\\|")).collect();
    let rows: String = body.map(escaped).map(line).collect();
    format!(
        "| {} |\n|{}\n{rows}",
        head.join(" | "),
        "---|".repeat(head.len())
    )
}
