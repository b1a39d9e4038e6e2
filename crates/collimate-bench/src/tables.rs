//! Numbers and tables as text.

use std::collections::{BTreeMap, BTreeSet};

use collimate::eval::MeanSd;
use serde_json::Value;

use crate::{Cell, Row};

/// A value as one writes it on a command line.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Four digits after the point for shares, fewer for what is large.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 4,
    };
    format!("{value:.digits$}")
}

pub(crate) fn mean_text(field: &MeanSd) -> String {
    match field.sd {
        None => number(field.mean),
        Some(sd) => format!("{} ± {}", number(field.mean), number(sd)),
    }
}

pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// `loop0 0.7018, ser 0.7095`.
pub(crate) fn fields_line(fields: &BTreeMap<String, Value>) -> String {
    let words: Vec<String> = fields
        .iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", number(value.as_f64()?))))
        .collect();
    match words.is_empty() {
        true => "done".to_owned(),
        false => words.join(", "),
    }
}

/// A Markdown table.
pub(crate) fn markdown(head: &[String], body: impl Iterator<Item = Vec<String>>) -> String {
    let line = |row: &[String]| {
        let row: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", row.join(" | "))
    };
    let mut text = line(head);
    text += &format!("|{}\n", "---|".repeat(head.len()));
    text.extend(body.map(|row| line(&row)));
    text
}

/// Every cell with its id, state and arguments.
pub fn cell_list(cells: &[Cell], rows: &BTreeMap<String, Row>) -> String {
    let head = ["id", "cell", "state", "arguments"].map(str::to_owned);
    let body = cells.iter().map(|cell| {
        let state = match rows.get(&cell.id) {
            None => "to do",
            Some(row) if row.is_ok() => "done",
            Some(_) => "failed",
        };
        let mut args = cell.args.join(" ");
        if !cell.config.is_empty() {
            args += &format!(" --config {}", Value::Object(cell.config.clone()));
        }
        vec![cell.id.clone(), cell.name.clone(), state.to_owned(), args]
    });
    markdown(&head, body)
}

/// Every cell's row: fields, seconds, commit.
pub fn cell_table(cells: &[Cell], rows: &BTreeMap<String, Row>) -> String {
    let rows: Vec<(&Cell, &Row)> = cells
        .iter()
        .filter_map(|cell| Some((cell, rows.get(&cell.id)?)))
        .collect();
    let fields: BTreeSet<&String> = rows.iter().flat_map(|(_, row)| row.fields.keys()).collect();
    let mut head: Vec<String> = vec!["cell".to_owned()];
    head.extend(fields.iter().map(|name| (*name).clone()));
    head.extend(["seconds", "commit", "state"].map(str::to_owned));
    let body = rows.iter().map(|(cell, row)| {
        let mut line = vec![cell.name.clone()];
        for name in &fields {
            line.push(match row.fields.get(*name) {
                None => "–".to_owned(),
                Some(value) => value.as_f64().map_or_else(|| plain(value), number),
            });
        }
        let commit: String = row.commit.iter().flat_map(|c| c.chars().take(9)).collect();
        line.push(format!("{:.1}", row.seconds));
        line.push(format!("{commit}{}", if row.dirty { " dirty" } else { "" }));
        line.push(match &row.error {
            None => "ok".to_owned(),
            Some(error) => error.clone(),
        });
        line
    });
    markdown(&head, body)
}
