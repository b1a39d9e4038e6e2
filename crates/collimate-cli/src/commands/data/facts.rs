//! The results of checking a file.

use std::path::PathBuf;

use collimate::core::Prompt;
use collimate::data::{DropReason, DroppedRow, Format, Note};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::advice;
use super::counts::{self, Parts, Repeats};
use super::lines;
use super::read::{Found, Kind, Rows};
use super::tokens::{Model, Template, Tokens};
use crate::common::Failure;

/// The results for one file.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    pub(super) file: PathBuf,
    pub(super) format: String,
    pub(super) recognised_by: String,
    /// Kind of the rows: pair, example, prompt, scored answer, labelled answer or answer list.
    pub(super) kind: &'static str,
    /// Word for the number of a row: `line`, or `row` in a file without lines.
    #[serde(skip)]
    pub(super) unit: &'static str,
    /// Number of rows in the file.
    pub(super) rows: usize,
    /// Number of pairs, examples, prompts or answers that can be used.
    pub(super) kept: usize,
    pub(super) dropped: Vec<Dropped>,
    pub(super) columns_not_read: Vec<String>,
    pub(super) prompt_from: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) conversations: usize,
    pub(super) without_prompt: usize,
    pub(super) with_scores: usize,
    /// Number of answers that are labelled good, if the rows have labels.
    pub(super) labelled_good: Option<usize>,
    pub(super) repeats: Repeats,
    #[serde(serialize_with = "parts")]
    pub(super) characters: Parts,
    pub(super) tokens: Option<Tokens>,
    pub(super) template: Option<Template>,
    /// One sentence of advice for each problem.
    pub(super) problems: Vec<String>,
}

/// Rows that are dropped for the same reason.
#[derive(Debug, Serialize)]
pub(super) struct Dropped {
    pub(super) reason: DropReason,
    pub(super) count: usize,
    /// Lines of the first of these rows.
    pub(super) lines: Vec<usize>,
    /// Error message about the first of these rows, if it cannot be read.
    pub(super) first: Option<String>,
}

impl Facts {
    /// Checks a file that was read. `given` is true if the user named the format.
    pub(super) fn of(found: &Found, given: bool, model: Option<&Model>) -> Result<Self, Failure> {
        let whole = found.report.whole.as_ref();
        let tokens = match model {
            Some(model) if found.report.kept > 0 => {
                Some(model.tokens(&found.rows, &found.places.kept)?)
            }
            _ => None,
        };
        let mut facts = Self {
            file: found.path.clone(),
            format: found.kind.name(),
            recognised_by: match given {
                true => "--format names it".to_owned(),
                false => why(found.kind).to_owned(),
            },
            kind: match found.rows {
                Rows::Pairs(_) => "pair",
                Rows::Sft(_) => "example",
                Rows::Prompts(_) => "prompt",
                Rows::Scored(_) => "scored answer",
                Rows::Labelled(_) => "labelled answer",
                Rows::Unlabelled(_) => "answer list",
            },
            unit: found.report.unit(),
            rows: found.report.read,
            kept: found.report.kept,
            dropped: dropped(&found.places.dropped),
            columns_not_read: found.report.unused.clone(),
            prompt_from: whole.map_or_else(Vec::new, |report| {
                report.prompt_from.iter().cloned().collect()
            }),
            notes: whole.map_or_else(Vec::new, |report| {
                report
                    .notes
                    .iter()
                    .map(|(note, rows)| told(*note, *rows))
                    .collect()
            }),
            conversations: counts::prompts(&found.rows)
                .iter()
                .filter(|prompt| matches!(prompt, Prompt::Chat(_)))
                .count(),
            without_prompt: counts::without_prompt(&found.rows, found.report.kept),
            with_scores: match &found.rows {
                Rows::Pairs(pairs) => pairs.iter().filter(|p| p.score_gap.is_some()).count(),
                Rows::Scored(answers) => answers.len(),
                Rows::Sft(_) | Rows::Prompts(_) | Rows::Labelled(_) | Rows::Unlabelled(_) => 0,
            },
            labelled_good: match &found.rows {
                Rows::Labelled(rows) => Some(rows.iter().filter(|row| row.desirable).count()),
                _ => None,
            },
            repeats: counts::repeats(&found.rows, &found.places.kept),
            characters: counts::characters(&found.rows),
            tokens,
            template: model.map(|model| model.template.clone()),
            problems: Vec::new(),
        };
        facts.problems = advice::of(&facts);
        Ok(facts)
    }
}

fn dropped(rows: &[DroppedRow]) -> Vec<Dropped> {
    let mut reasons: Vec<DropReason> = rows.iter().map(|row| row.reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let of = |reason: DropReason| {
        let those = || rows.iter().filter(move |row| row.reason == reason);
        let mut at: Vec<usize> = those().map(|row| row.line).collect();
        let count = at.len();
        at.dedup();
        Dropped {
            reason,
            count,
            lines: lines::first(&at),
            first: those().find_map(|row| row.what.clone()),
        }
    };
    reasons.into_iter().map(of).collect()
}

fn told(note: Note, rows: usize) -> String {
    match note {
        Note::FirstColumnPreferred => {
            "the table has no header: the first column is taken as the chosen answer".to_owned()
        }
        Note::RepeatedTurn => {
            format!("{rows} with the prompt also in the messages: the prompt is used once")
        }
        Note::PromptTakenOff => {
            format!(
                "{rows} whose answers begin with the prompt: the prompt is removed from the answers"
            )
        }
        Note::NoScores => format!("{rows} without scores"),
        Note::TurnsBehind => {
            format!("{rows} with turns after the last answer, which are ignored")
        }
        other => other.said(rows),
    }
}

/// Returns the sign by which a format was detected.
fn why(kind: Kind) -> &'static str {
    match kind {
        Kind::Prompts => "the rows have prompts without answers",
        Kind::ScoredAnswers => "every row has `prompt`, `completion` and a number `score`",
        Kind::LabelledAnswers => "the first row has `prompt`, `completion` and `label`",
        Kind::Rows(format) => match format {
            Format::HhRlhf => "`chosen` and `rejected` are dialogues of Human: and Assistant:",
            Format::Trl => "the first row has `chosen` and `rejected`",
            Format::TwoColumnCsv => "the file is a table",
            Format::UltraFeedback => {
                "the first row has `chosen`, `rejected`, `score_chosen` and `score_rejected`"
            }
            Format::OasstTrees => "the first row is a tree of messages",
            Format::SummarizeComparisons => "the first row has `summaries` and `choice`",
            Format::ScoredAnswers => "the first row has several answers with scores",
            Format::HelpSteer => "the first row has two answers and a preference from -3 to 3",
            Format::GradedRows => "the first row has one answer and grades such as `helpfulness`",
            Format::Messages => "the first row has `messages`",
            Format::Candidates => "the first row has two or more answers to a prompt",
            Format::PromptCompletion => "the first row has `prompt` and `completion`",
            _ => "the first row shows it",
        },
    }
}

/// Writes named lengths as an object, in order.
pub(super) fn parts<S: Serializer>(parts: &Parts, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(parts.len()))?;
    for (name, lengths) in parts {
        map.serialize_entry(name, lengths)?;
    }
    map.end()
}
