//! Readers for pairs and for examples, one entry point each for all formats.

mod answer_lists;
mod answer_table;
mod answers;
mod candidates;
mod choices;
#[cfg_attr(not(feature = "parquet"), path = "no_columnar.rs")]
mod columnar;
mod exact;
mod expansion;
mod fields;
mod format;
mod further;
mod graded;
mod graded_rows;
mod helpsteer;
mod hh;
mod input;
mod kind;
mod labelled;
mod labels;
mod lines;
mod numbering;
mod numbers;
mod oasst;
mod objects;
mod ordered;
mod places;
mod prompt_column;
mod prompts;
mod questions;
mod ranked;
mod records;
mod report;
mod response_columns;
mod rows;
mod scored_answers;
mod seen;
mod several;
mod sft;
mod sink;
mod steps;
mod stream;
mod summarize;
mod table;
mod trl;
mod ultrafeedback;

use std::path::Path;

use collimate_core::PreferencePair;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use answer_lists::AnswerLists;
pub use answers::{Answer, read_answers};
pub use candidates::{Candidates, read_unlabelled};
pub use choices::{ChoiceFormat, ChoiceQuestion, ReadChoices};
pub use exact::ExactQuestion;
pub use format::Format;
pub use graded::GradedAnswer;
pub use hh::HhTurns;
pub use input::Input;
pub use labelled::{LabelledExample, read_labelled};
pub use labels::{Labels, read_labelled_pairs};
pub use numbering::Numbering;
pub use places::{DroppedRow, Places};
pub use prompts::{AskedPrompt, Prompts};
pub use questions::{Question, QuestionFormat, read_questions};
pub use ranked::{RankedAnswers, RankedDrop, RankedOptions, RankedReport};
pub use report::{DropReason, Note, ReadReport, not_used};
pub use scored_answers::AnswerPairs;
pub use several::read_pairs_of;
pub use sft::SftTurns;
pub use stream::{RowStream, StreamedRow};

use crate::error::DataError;
use crate::example::SftExample;
use ordered::Ordered;
use sink::Sink;

/// Treatment of a row that breaks the rules of its format, through malformed JSON, wrong UTF-8 or a
/// missing field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnBadRow {
    /// Reading stops with an error that names file, line and remedy.
    #[default]
    Fail,
    /// The row is left out and counted in the report.
    Drop,
}

/// Options of reading a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ReadOptions {
    /// Format of the file. If `None`, the format is detected from the content.
    pub format: Option<Format>,
    /// Treatment of rows that cannot be read. By default reading fails.
    pub on_bad_row: OnBadRow,
    /// Part of an HH-RLHF dialogue that the prompt keeps. By default all of it.
    pub hh_turns: HhTurns,
    /// Turns of a conversation that become examples. By default the last turn.
    pub sft_turns: SftTurns,
    /// Pairs that several answers with scores give. By default all of them.
    pub answer_pairs: AnswerPairs,
    /// If true, pairs get the numbers in the columns `margin` and `weight` of their row. A value
    /// that is not a finite number, or a weight below 0, makes the row a bad row. By default the
    /// report names these columns as not used.
    pub pair_numbers: bool,
}

/// Reason why a row cannot be read, for [`OnBadRow`].
#[derive(Debug)]
struct Bad {
    reason: DropReason,
    what: String,
}

impl Bad {
    fn fields(what: impl Into<String>) -> Self {
        Self {
            reason: DropReason::WrongFields,
            what: what.into(),
        }
    }

    fn malformed(what: impl Into<String>) -> Self {
        Self {
            reason: DropReason::Malformed,
            what: what.into(),
        }
    }
}

/// Reads preference pairs from one file, row by row. The path may be a pipe; for streams see
/// [`Input`].
///
/// Rows without information (equal answers, different prompts, an empty answer, equal scores) are
/// dropped, and the report counts them by reason. Rows that cannot be read follow
/// [`ReadOptions::on_bad_row`].
///
/// # Errors
/// The file is missing or empty, or has no rows of text. The format is not recognised, or has no
/// pairs. The file is a JSON array instead of JSON lines. Under [`OnBadRow::Fail`], a row cannot be
/// read; the error names its line.
pub fn read_pairs(
    path: impl AsRef<Path>,
    options: &ReadOptions,
) -> Result<(Vec<PreferencePair>, ReadReport), DataError> {
    Input::open(path)?.read_pairs(options)
}

/// Reads examples for supervised fine-tuning from one file, row by row.
///
/// # Errors
/// As [`read_pairs`]. A preference file is refused, because the call does not say which answer to
/// imitate. To fine-tune on chosen answers, read pairs and apply [`SftExample::from`] to each.
pub fn read_sft(
    path: impl AsRef<Path>,
    options: &ReadOptions,
) -> Result<(Vec<SftExample>, ReadReport), DataError> {
    Input::open(path)?.read_sft(options)
}

impl Input {
    /// Reads preference pairs. See [`read_pairs`].
    ///
    /// # Errors
    /// As [`read_pairs`].
    pub fn read_pairs(
        mut self,
        options: &ReadOptions,
    ) -> Result<(Vec<PreferencePair>, ReadReport), DataError> {
        let format = self.format_of(options)?;
        let mut sink = Sink::new(self.path(), options);
        steps::all(
            steps::pair_steps(self, format, options, &mut sink)?,
            &mut sink,
        )?;
        Ok(sink.finish(format))
    }

    /// Reads examples for supervised fine-tuning. See [`read_sft`].
    ///
    /// # Errors
    /// As [`read_sft`].
    pub fn read_sft(
        mut self,
        options: &ReadOptions,
    ) -> Result<(Vec<SftExample>, ReadReport), DataError> {
        let format = self.format_of(options)?;
        let mut sink = Sink::new(self.path(), options);
        steps::all(
            steps::example_steps(self, format, options, &mut sink)?,
            &mut sink,
        )?;
        Ok(sink.finish(format))
    }

    fn format_of(&mut self, options: &ReadOptions) -> Result<Format, DataError> {
        options.format.map_or_else(|| self.format(), Ok)
    }
}

/// Parses a line as a JSON object.
fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Bad> {
    let text = std::str::from_utf8(bytes).map_err(|error| Bad {
        reason: DropReason::NotUtf8,
        what: format!(
            "not valid UTF-8 after byte {} of the line (a file in another encoding: convert it, \
             for example with iconv)",
            error.valid_up_to()
        ),
    })?;
    let Ordered(value) = serde_json::from_str(text).map_err(|error| {
        Bad::malformed(format!(
            "not valid JSON at column {} ({})",
            error.column(),
            kind_of_error(&error)
        ))
    })?;
    match value {
        Value::Object(row) => Ok(row),
        _ => Err(Bad::malformed("not a JSON object")),
    }
}

fn kind_of_error(error: &serde_json::Error) -> String {
    // The parser counts lines inside the row, but only the line in the file is useful.
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}
