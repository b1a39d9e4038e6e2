//! Columns that are not read, and decisions to report.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Bad;
use super::fields::{Object, is_nothing};
use super::report::Note;

/// Columns of numbers that other libraries train with.
pub(super) const NUMBERS: [&str; 3] = ["margin", "score_gap", "weight"];

/// Number of labels from which a report says that all labels name the same column. Fewer labels may
/// agree by coincidence.
const TELLING: usize = 10;

/// Columns that change the meaning of a conversation.
const MEANT: [&str; 11] = [
    "tools",
    "functions",
    "image",
    "images",
    "video",
    "videos",
    "audio",
    "audios",
    "chat_template_kwargs",
    "documents",
    "tool_calls",
];

/// Returns true for a column that changes the meaning of a conversation.
pub(super) fn is_meant(name: &str) -> bool {
    MEANT.contains(&name)
}

/// Columns that are not read, and decisions about rows.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) unused: BTreeSet<String>,
    pub(super) prompt_from: BTreeSet<String>,
    pub(super) notes: BTreeMap<Note, usize>,
    /// Numbers of labels that name the first and the second of two columns of answers.
    pub(super) sides: [usize; 2],
}

impl Seen {
    /// Counts a row for a decision.
    pub(super) fn tell(&mut self, note: Note) {
        *self.notes.entry(note).or_insert(0) += 1;
    }

    /// Returns the decisions, with a note if all labels of the file name the same column.
    pub(super) fn notes_with_sides(&self) -> BTreeMap<Note, usize> {
        let mut notes = self.notes.clone();
        let note = match self.sides {
            [first, 0] if first >= TELLING => Some(Note::AllFirst),
            [0, second] if second >= TELLING => Some(Note::AllSecond),
            _ => None,
        };
        if let Some(note) = note {
            notes.insert(note, self.sides[0] + self.sides[1]);
        }
        notes
    }

    /// Checks the columns of a row that are not in `read`. Columns with a text or messages are
    /// recorded. Columns that change the meaning of a conversation are an error.
    pub(super) fn columns(&mut self, row: &Object, read: &[&str]) -> Result<(), Bad> {
        self.look(row, |name, _| read.contains(&name))
    }

    /// Checks the columns like [`columns`](Self::columns), for a row of a table. All cells of a
    /// table are texts, so columns of indices are skipped.
    pub(super) fn cells(&mut self, row: &Object, read: &[&str]) -> Result<(), Bad> {
        self.look(row, |name, value| {
            read.contains(&name) || is_index(name, value)
        })
    }

    fn look(&mut self, row: &Object, skip: impl Fn(&str, &Value) -> bool) -> Result<(), Bad> {
        let mut wrong = None;
        for (name, value) in row {
            // `{"enable_thinking": false}` also changes a text.
            let kwargs =
                name == "chat_template_kwargs" && value.as_object().is_some_and(|v| !v.is_empty());
            if skip(name, value) || is_nothing(value) && !kwargs {
                continue;
            }
            if MEANT.contains(&name.as_str()) {
                wrong = wrong.or(Some(name));
            }
            let number = NUMBERS.contains(&name.as_str());
            if (number || holds_text(value)) && !self.unused.contains(name) {
                self.unused.insert(name.clone());
            }
        }
        match wrong {
            Some(name) => Err(Bad::fields(format!(
                "column `{name}` is not supported: remove the column, or write its text into the \
                 messages"
            ))),
            None => Ok(()),
        }
    }
}

pub(super) fn is_index(name: &str, cell: &Value) -> bool {
    let name = name.to_lowercase();
    let known = ["id", "idx", "index"].contains(&name.as_str())
        || name.starts_with("unnamed")
        || name.starts_with("column ");
    known
        && cell
            .as_str()
            .is_some_and(|text| text.trim().parse::<f64>().is_ok())
}

/// Returns true for a text, a list of texts or messages, or a message.
fn holds_text(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(list) => list.iter().any(holds_text),
        Value::Object(object) => ["content", "text", "value"]
            .iter()
            .any(|key| object.get(*key).is_some_and(Value::is_string)),
        _ => false,
    }
}
