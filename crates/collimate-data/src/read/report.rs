//! Reports on the rows of a file that were read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::format::Format;
use super::numbering::Numbering;

/// Reason why a row, or one comparison of a row, is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropReason {
    /// Chosen and rejected are the same text.
    EqualAnswers,
    /// Chosen and rejected answer different prompts.
    DifferentPrompts,
    /// An answer has several turns where one message is expected.
    SeveralTurns,
    /// An answer is only white space.
    EmptyCompletion,
    /// The label says that neither answer is better.
    Tie,
    /// Both answers have the same score.
    EqualScores,
    /// The rejected answer has the higher score.
    ContraryScores,
    /// There are fewer than two answers, so there is nothing to compare.
    NoComparison,
    /// A conversation has no answer of the assistant.
    NoAnswer,
    /// The row is the header of a table.
    Header,
    /// The row is not valid UTF-8 ([`OnBadRow::Drop`](super::OnBadRow::Drop) only).
    NotUtf8,
    /// The row is not valid JSON or CSV ([`OnBadRow::Drop`](super::OnBadRow::Drop) only).
    Malformed,
    /// A field is missing or of the wrong type ([`OnBadRow::Drop`](super::OnBadRow::Drop) only).
    WrongFields,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EqualAnswers => "equal answers",
            Self::DifferentPrompts => "different prompts",
            Self::SeveralTurns => "several turns",
            Self::EmptyCompletion => "empty completion",
            Self::Tie => "tie",
            Self::EqualScores => "equal scores",
            Self::ContraryScores => "contrary scores",
            Self::NoComparison => "no comparison",
            Self::NoAnswer => "no answer",
            Self::Header => "header",
            Self::NotUtf8 => "not UTF-8",
            Self::Malformed => "malformed",
            Self::WrongFields => "wrong fields",
        })
    }
}

/// A decision about rows that a reader made by itself and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Note {
    /// A table has no header, so the first column was taken as the chosen answer.
    FirstColumnPreferred,
    /// Both answers repeat a turn of the prompt, apart from white space. The turn was taken once.
    RepeatedTurn,
    /// Both answers begin with the text of the prompt, which was removed from them.
    PromptTakenOff,
    /// The score columns of a pair are null.
    NoScores,
    /// A conversation has turns after the last answer of the assistant. These turns are left out.
    TurnsBehind,
    /// A list of answers has empty ones, which are left out.
    EmptyAnswers,
    /// A list of answers has answers without a score, which are left out.
    UnscoredAnswers,
    /// A list of answers has repeated ones, each of which is taken once.
    RepeatedAnswers,
    /// All labels of the file name the answer in the first column.
    AllFirst,
    /// All labels of the file name the answer in the second column.
    AllSecond,
}

impl Note {
    /// Describes the decision in words that follow the name of the file.
    pub fn said(self, rows: usize) -> String {
        match self {
            Self::FirstColumnPreferred => {
                "no header: the first column is taken as the chosen answer".to_owned()
            }
            Self::RepeatedTurn => {
                format!(
                    "{rows} with the prompt also in the messages, apart from white space: used once"
                )
            }
            Self::PromptTakenOff => {
                format!(
                    "{rows} whose answers begin with the prompt: prompt removed from the answers"
                )
            }
            Self::NoScores => format!("{rows} without scores"),
            Self::TurnsBehind => {
                format!("{rows} with turns after the last answer, which are ignored")
            }
            Self::EmptyAnswers => format!("{rows} with empty answers: ignored"),
            Self::UnscoredAnswers => format!("{rows} with answers without a score: ignored"),
            Self::RepeatedAnswers => format!("{rows} with equal answers: each used once"),
            Self::AllFirst | Self::AllSecond => format!(
                "all {rows} labels name the {} answer: check that this is right",
                if self == Self::AllFirst {
                    "first"
                } else {
                    "second"
                }
            ),
        }
    }
}

/// Result of reading one file.
///
/// If each row is one comparison, `rows = kept + dropped`. A tree or a list of ranked answers gives
/// any number of comparisons. Each comparison is kept or dropped. A row without comparisons is
/// dropped once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadReport {
    /// The file.
    pub path: PathBuf,
    /// The format of the file.
    pub format: Format,
    /// Number of rows read, without blank lines.
    pub rows: usize,
    /// Number of pairs or examples returned.
    pub kept: usize,
    /// Number of rows or comparisons that were not used, by reason.
    pub dropped: BTreeMap<DropReason, usize>,
    /// Unread columns that hold a text or messages, or numbers that other libraries train with,
    /// such as TRL's `margin`. Unread keys of messages have the form `chosen[].key`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unused: BTreeSet<String>,
    /// Columns from which the prompt was made, if no column is called `prompt`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub prompt_from: BTreeSet<String>,
    /// Decisions about rows, each with its number of rows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<Note, usize>,
    /// Meaning of the numbers of rows in [`Places`](super::Places). Not written to files.
    #[serde(skip)]
    pub numbering: Numbering,
}

impl ReadReport {
    /// Returns the number of rows or comparisons dropped for a reason.
    pub fn dropped_for(&self, reason: DropReason) -> usize {
        self.dropped.get(&reason).copied().unwrap_or(0)
    }

    /// Returns the total number of dropped rows and comparisons.
    pub fn dropped_total(&self) -> usize {
        self.dropped.values().sum()
    }
}

impl fmt::Display for ReadReport {
    /// Writes one line for a log: file, rows, kept, each reason with its count, the notes, and the
    /// unused columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} rows read as {}, {} kept",
            self.path.display(),
            self.rows,
            self.format,
            self.kept
        )?;
        if !self.dropped.is_empty() {
            write!(f, ", {} dropped (", self.dropped_total())?;
            for (i, (reason, count)) in self.dropped.iter().enumerate() {
                write!(f, "{}{reason}: {count}", if i > 0 { ", " } else { "" })?;
            }
            write!(f, ")")?;
        }
        for (note, rows) in &self.notes {
            write!(f, "; {}", note.said(*rows))?;
        }
        if !self.prompt_from.is_empty() {
            write!(f, "; prompt read from {}", named(&self.prompt_from))?;
        }
        if let Some(unused) = not_used(&self.unused) {
            write!(f, "; {unused}")?;
        }
        Ok(())
    }
}

/// Largest number of names in a message.
const MOST_NAMES: usize = 12;

/// Names the columns of a file that are not used. Returns `None` if all are used.
pub fn not_used(columns: &BTreeSet<String>) -> Option<String> {
    match columns.len() {
        0 => None,
        1 => Some(format!("column {} not used", named(columns))),
        _ => Some(format!("columns {} not used", named(columns))),
    }
}

fn named(columns: &BTreeSet<String>) -> String {
    let names = columns.iter().take(MOST_NAMES);
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match columns.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
