//! Answers to a prompt without a label.

use std::path::Path;

use collimate_core::{Completion, PreferencePair, Prompt};
use serde_json::Value;

use super::fields::Object;
use super::helpsteer;
use super::input::{Layout, object};
use super::prompt_column::by_other_name;
use super::report::Note;
use super::response_columns::{Columns, Side};
use super::seen::Seen;
use super::sink::Sink;
use super::steps::{self, each_row, pair_steps};
use super::table::Header;
use super::{Bad, DropReason, Format, Input, Places, ReadOptions, ReadReport, prompts, trl};
use crate::content::answer_order;
use crate::error::DataError;

/// A prompt with two or more different answers, or a prompt alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    /// The question.
    pub prompt: Prompt,
    /// The answers, in an order without meaning. Empty for a prompt alone.
    pub responses: Vec<Completion>,
    /// The line of the row, from 1. In a Parquet file, the number of the row.
    pub line: usize,
}

/// Reads answers without labels from one file. See [`Input::read_unlabelled`].
///
/// # Errors
/// As [`Input::read_unlabelled`].
pub fn read_unlabelled(
    path: impl AsRef<Path>,
    options: &ReadOptions,
) -> Result<(Vec<Candidates>, ReadReport), DataError> {
    Input::open(path)?.read_unlabelled(options)
}

impl Input {
    /// Reads prompts with two or more answers and ignores any label in the file.
    ///
    /// | row | answers |
    /// |---|---|
    /// | `prompt` and `responses` (`answers`, `completions`, `candidates`) | a list of texts, messages, or objects with `text` |
    /// | `prompt` and `response_a`, `response_b`, … (`answer_1`, `completion1`, …) | texts or messages |
    /// | a pair of any format that [`read_pairs`](super::read_pairs) reads | both, without the label |
    /// | `prompt`, `messages`, or a line of text | none: a prompt alone |
    ///
    /// Rows without a prompt get an empty one, and their answers are whole texts. Empty and
    /// repeated answers are left out and counted. A row with fewer than two different answers is
    /// dropped.
    ///
    /// # Errors
    /// As [`read_pairs`](super::read_pairs).
    pub fn read_unlabelled(
        self,
        options: &ReadOptions,
    ) -> Result<(Vec<Candidates>, ReadReport), DataError> {
        let (candidates, _, report) = self.read_placed_unlabelled(options)?;
        Ok((candidates, report))
    }

    /// Reads answers without labels and the line of each row. Like
    /// [`read_unlabelled`](Self::read_unlabelled), for programs that report places in a file to a
    /// user.
    ///
    /// # Errors
    /// As [`read_unlabelled`](Self::read_unlabelled).
    pub fn read_placed_unlabelled(
        mut self,
        options: &ReadOptions,
    ) -> Result<(Vec<Candidates>, Places, ReadReport), DataError> {
        let format = match self.unlabelled_format(options)? {
            Some(format) => format,
            None => return self.prompts_alone(),
        };
        match format {
            Format::Candidates | Format::Messages | Format::ScoredAnswers => {
                let mut sink = Sink::placed(self.path(), options);
                steps::all(each_row(self, format, &mut sink, row)?, &mut sink)?;
                let places = sink.take_places();
                let (candidates, report) = sink.finish(Format::Candidates);
                Ok((candidates, places, report))
            }
            Format::PromptCompletion => Err(self.format_error(
                "prompt_completion rows hold one answer each: give two or more answers to a prompt, \
                 as a list `responses` or as `response_a` and `response_b`",
            )),
            _ => self.without_labels(format, options),
        }
    }

    /// Rejects rows of answers if the first row has no label.
    pub(super) fn expect_labels(&mut self) -> Result<(), DataError> {
        let unlabelled = match self.layout()? {
            Layout::Answers(delimiter) => {
                let first = self.line_ahead(1)?;
                first.is_some_and(|(_, line)| !Header::parse(line, delimiter).names_label())
            }
            _ => self
                .row_ahead()?
                .is_some_and(|row| !Columns::has_label(&row)),
        };
        match unlabelled {
            true => Err(self.format_error(
                "answers without a label: label them by `collimate label`, or give them to `collimate \
                 ser --unlabelled`",
            )),
            false => Ok(()),
        }
    }

    fn unlabelled_format(&mut self, options: &ReadOptions) -> Result<Option<Format>, DataError> {
        if options.format.is_some() {
            return Ok(options.format);
        }
        let error = match self.format() {
            Ok(format) => return Ok(Some(format)),
            Err(error) => error,
        };
        if self.table().is_some() {
            let row = self.first_row()?;
            return match row.contains_key("prompt") {
                true => Ok(Some(Format::Candidates)),
                false => Err(error),
            };
        }
        let first = self.line_ahead(1)?;
        let Some((_, line)) = first else {
            return Err(error);
        };
        let begins = |with: &[u8]| line.starts_with(with);
        match object(line) {
            Some(row) if row.contains_key("prompt") => Ok(Some(Format::Candidates)),
            Some(_) => Err(error),
            None if begins(b"{") || begins(b"[") || self.is_json_name() => Err(error),
            None => Ok(None),
        }
    }

    /// Reads prompts without answers from lines of text or from a column of a table.
    fn prompts_alone(self) -> Result<(Vec<Candidates>, Places, ReadReport), DataError> {
        let path = self.path().to_owned();
        let found = self.read_prompts()?;
        let alone: Vec<Candidates> = found
            .prompts
            .into_iter()
            .map(|asked| Candidates {
                prompt: asked.prompt,
                responses: Vec::new(),
                line: asked.line,
            })
            .collect();
        let report = ReadReport {
            path,
            format: Format::Candidates,
            rows: alone.len(),
            kept: alone.len(),
            dropped: Default::default(),
            unused: found.unused,
            prompt_from: Default::default(),
            notes: Default::default(),
            numbering: found.numbering,
        };
        let places = Places {
            kept: alone.iter().map(|row| row.line).collect(),
            dropped: Vec::new(),
        };
        Ok((alone, places, report))
    }

    /// Reads pairs of a known format and drops their labels.
    fn without_labels(
        self,
        format: Format,
        options: &ReadOptions,
    ) -> Result<(Vec<Candidates>, Places, ReadReport), DataError> {
        let mut sink = Sink::placed(self.path(), options);
        // Scores are labels. Without labels, equal scores are no reason to drop a pair.
        let layout = match format {
            Format::UltraFeedback => Format::Trl,
            format => format,
        };
        let rows = match layout {
            Format::HelpSteer => each_row(self, layout, &mut sink, helpsteer::unlabelled_row)?,
            _ => pair_steps(self, layout, options, &mut sink)?,
        };
        steps::all(rows, &mut sink)?;
        let mut places = sink.take_places();
        let (pairs, mut report) = sink.finish(format);
        let candidates = gathered(pairs, &places.kept);
        // Without labels the order of the columns has no meaning.
        report.notes.remove(&Note::FirstColumnPreferred);
        report.kept = candidates.len();
        places.kept = candidates.iter().map(|row| row.line).collect();
        Ok((candidates, places, report))
    }
}

/// Collects the answers of each row and prompt. A row with ranks gives several pairs.
fn gathered(pairs: Vec<PreferencePair>, lines: &[usize]) -> Vec<Candidates> {
    let mut all: Vec<Candidates> = Vec::new();
    for (pair, &line) in pairs.into_iter().zip(lines) {
        let answers = [pair.chosen, pair.rejected];
        let open = all
            .last_mut()
            .filter(|last| last.line == line && last.prompt == pair.prompt);
        let responses = match open {
            Some(last) => &mut last.responses,
            None => {
                all.push(Candidates {
                    prompt: pair.prompt,
                    responses: Vec::new(),
                    line,
                });
                let last = all.len() - 1;
                &mut all[last].responses
            }
        };
        for answer in answers {
            if !responses.contains(&answer) {
                responses.push(answer);
            }
        }
    }
    for candidates in &mut all {
        // The better answer came first, so sort the answers by content.
        candidates
            .responses
            .sort_by(|a, b| answer_order(a).cmp(&answer_order(b)));
    }
    all
}

/// Columns with a single answer. A row that has such a column is not a prompt alone.
const ONE: [&str; 6] = [
    "completion",
    "response",
    "answer",
    "output",
    "chosen",
    "rejected",
];

pub(super) fn row(row: &Object, sink: &mut Sink<Candidates>) -> Result<(), Bad> {
    let line = sink.line;
    let Some(columns) = Columns::of(row)? else {
        let one = ONE.into_iter().find(|name| row.contains_key(*name));
        if let Some(name) = one.or_else(|| Columns::alone(row)) {
            return Err(Bad::fields(format!(
                "one answer, in `{name}`: give two or more, as a list `responses` or as \
                 `response_a` and `response_b`"
            )));
        }
        let prompt = prompts::prompt(row, &mut sink.seen)?;
        sink.out.push(Candidates {
            prompt,
            responses: Vec::new(),
            line,
        });
        return Ok(());
    };
    let values = columns.values(row)?;
    look(row, &columns, &[], &mut sink.seen)?;
    let given = values.len();
    if given < 2 {
        sink.drop_one(DropReason::NoComparison);
        return Ok(());
    }
    let (prompt, texts) = match compared(row, &columns, values, &mut sink.seen)? {
        Ok(found) => found,
        Err(reason) => {
            sink.drop_one(reason);
            return Ok(());
        }
    };
    let mut responses: Vec<Completion> = Vec::new();
    let (mut empty, mut repeated) = (false, false);
    for text in texts {
        let answer = Completion::from(text);
        if answer.text.trim().is_empty() {
            empty = true;
        } else if responses.contains(&answer) {
            repeated = true;
        } else {
            responses.push(answer);
        }
    }
    if responses.len() < 2 {
        sink.drop_one(match repeated {
            true => DropReason::EqualAnswers,
            false => DropReason::EmptyCompletion,
        });
        return Ok(());
    }
    for (has, note) in [
        (empty, Note::EmptyAnswers),
        (repeated, Note::RepeatedAnswers),
    ] {
        if has {
            sink.seen.tell(note);
        }
    }
    sink.out.push(Candidates {
        prompt,
        responses,
        line,
    });
    Ok(())
}

/// Checks the columns that are not read.
fn look(row: &Object, columns: &Columns, more: &[&str], seen: &mut Seen) -> Result<(), Bad> {
    let names = columns.names();
    let mut read: Vec<&str> = names.iter().map(String::as_str).collect();
    read.extend(["prompt"]);
    read.extend(more);
    seen.columns(row, &read)
}

type Several = Result<(Prompt, Vec<String>), DropReason>;

/// Returns the prompt and the answers, each compared with the first answer by the rules for pairs.
fn compared(
    row: &Object,
    columns: &Columns,
    values: Vec<Value>,
    seen: &mut Seen,
) -> Result<Several, Bad> {
    let names = columns.names();
    let mut made: Object = row
        .iter()
        .filter(|(name, _)| !names.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let texts = values.iter().all(Value::is_string);
    let asked = made.get("prompt").is_some_and(|value| !value.is_null());
    if texts && !asked && by_other_name(&made, seen)?.is_none() {
        // Answers without a prompt are whole texts. A beginning that two of them share need not be
        // the prompt of a third.
        made.insert("prompt".to_owned(), "".into());
    }
    let mut values = values.into_iter();
    made.insert("chosen".to_owned(), values.next().unwrap_or_default());
    // A decision about a row is reported once.
    let mut once_more = Seen::default();
    let mut found: Option<(Prompt, Vec<String>)> = None;
    for value in values {
        made.insert("rejected".to_owned(), value);
        let seen = match found {
            None => &mut *seen,
            Some(_) => &mut once_more,
        };
        let (prompt, first, other) = match trl::comparison(&made, seen)? {
            Ok(compared) => compared,
            Err(reason) => return Ok(Err(reason)),
        };
        match &mut found {
            None => found = Some((prompt, vec![first, other])),
            Some((asked, answers)) if *asked == prompt => answers.push(other),
            Some(_) => return Ok(Err(DropReason::DifferentPrompts)),
        }
    }
    Ok(found.ok_or(DropReason::NoComparison))
}

/// Reads a row of two answers with a label as a pair.
pub(super) fn labelled_row(row: &Object, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    let columns = Columns::of(row)?;
    let Some(columns @ Columns::Each(_)) = columns else {
        return Err(Bad::fields(
            "a row needs two columns of answers and a label",
        ));
    };
    let values = columns.values(row)?;
    if values.len() != 2 {
        return Err(Bad::fields(format!(
            "{} answers, but a label compares two: give two answers",
            values.len()
        )));
    }
    let Some(side) = columns.label(row)? else {
        return Err(Bad::fields(
            "no label: write `label` with the letter or number of the better answer, or tie",
        ));
    };
    look(row, &columns, Columns::labels(), &mut sink.seen)?;
    let swapped = match side {
        Side::First => false,
        Side::Second => true,
        Side::Tie => {
            sink.drop_one(DropReason::Tie);
            return Ok(());
        }
    };
    let compared = compared(row, &columns, values, &mut sink.seen)?;
    let before = sink.out.len();
    let pair = compared.and_then(|(prompt, answers)| {
        let [first, second] =
            <[String; 2]>::try_from(answers).map_err(|_| DropReason::NoComparison)?;
        Ok(match swapped {
            false => (prompt, first, second),
            true => (prompt, second, first),
        })
    });
    trl::push(pair, None, sink);
    sink.seen.sides[usize::from(swapped)] += sink.out.len() - before;
    Ok(())
}
