//! The results of checking a file.

use std::path::PathBuf;

use collimate::data::{DropReason, Format, Note};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::advice;
use super::counts::{Parts, Repeats};
use super::read::{Found, Kind};
use super::spill::Distinct;
use super::tally::Tally;
use super::token_tally::TokenTally;
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
    /// Number of pairs with a margin.
    pub(super) with_margins: usize,
    /// Number of pairs with a weight.
    pub(super) with_weights: usize,
    /// Number of pairs of weight 0.
    pub(super) with_weight_zero: usize,
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
    /// Reports on a file that was read, and returns the different prompts of the file. `given` is
    /// true if the user named the format.
    pub(super) fn of(
        found: Found<Tally<'_>>,
        given: bool,
        model: Option<&Model>,
    ) -> Result<(Self, Distinct), Failure> {
        let mut tally = found.visitor;
        let whole = found.report.whole.as_ref();
        let (repeats, prompts) = tally.contents.repeats().map_err(|error| {
            format!("a temporary file cannot be read: {error}: TMPDIR names their folder")
        })?;
        let tokens = tally.tokens.take();
        let tokens = tokens.filter(|_| found.report.kept > 0);
        let mut facts = Self {
            unit: found.report.unit(),
            rows: found.report.read,
            kept: found.report.kept,
            format: found.kind.name(),
            recognised_by: match given {
                true => "--format names it".to_owned(),
                false => why(found.kind).to_owned(),
            },
            kind: tally.kind.unwrap_or("row"),
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
            columns_not_read: found.report.unused,
            file: found.path,
            conversations: tally.conversations,
            without_prompt: found.report.kept.saturating_sub(tally.with_prompt),
            with_scores: tally.with_scores,
            with_margins: tally.with_margins,
            with_weights: tally.with_weights,
            with_weight_zero: tally.with_weight_zero,
            labelled_good: tally.labelled_good,
            repeats,
            characters: tally.characters.parts(),
            tokens: tokens.map(TokenTally::finish),
            template: model.map(|model| model.template.clone()),
            dropped: std::mem::take(&mut tally.dropped).into_values().collect(),
            problems: Vec::new(),
        };
        facts.problems = advice::of(&facts);
        Ok((facts, prompts))
    }
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
