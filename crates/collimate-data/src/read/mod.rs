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
mod summarize;
mod table;
mod trl;
mod ultrafeedback;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use collimate_core::{Completion, PreferencePair, Prompt};
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
pub use numbers::{PairNumbers, read_numbered_pairs};
pub use places::{DroppedRow, Places};
pub use prompts::{AskedPrompt, Prompts};
pub use questions::{Question, QuestionFormat, read_questions};
pub use ranked::{RankedAnswers, RankedDrop, RankedOptions, RankedReport};
pub use report::{DropReason, Note, ReadReport, not_used};
pub use scored_answers::AnswerPairs;
pub use several::read_pairs_of;
pub use sft::SftTurns;

use crate::error::DataError;
use crate::example::SftExample;
use graded_rows::GradedRows;
use labels::Notes;
use ordered::Ordered;
use prompt_column::is_prompt_name;
use seen::{NUMBERS, Seen, is_meant};

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

/// Collects the results of the rows of one file.
struct Sink<T> {
    path: PathBuf,
    on_bad_row: OnBadRow,
    out: Vec<T>,
    rows: usize,
    dropped: BTreeMap<DropReason, usize>,
    seen: Seen,
    labels: Notes,
    /// The number of the current row.
    line: usize,
    numbering: Numbering,
    /// The lines of rows, if the caller asked for them.
    places: Option<Places>,
    /// The numbers of pairs, if the caller asked for them.
    numbers: Option<Vec<PairNumbers>>,
}

impl<T> Sink<T> {
    fn new(path: &Path, options: &ReadOptions) -> Self {
        Self {
            path: path.to_owned(),
            on_bad_row: options.on_bad_row,
            out: Vec::new(),
            rows: 0,
            dropped: BTreeMap::new(),
            seen: Seen::default(),
            labels: Notes::default(),
            line: 0,
            numbering: Numbering::default(),
            places: None,
            numbers: None,
        }
    }

    /// Returns the numbers of a row, if the caller asked for them.
    fn numbers_of(&self, row: &Map<String, Value>) -> Result<PairNumbers, Bad> {
        match self.numbers {
            Some(_) => PairNumbers::of(row),
            None => Ok(PairNumbers::default()),
        }
    }

    /// Assigns the numbers to everything kept since the last row.
    fn keep_numbers(&mut self, of_row: PairNumbers) {
        if let Some(numbers) = &mut self.numbers {
            numbers.resize(self.out.len(), of_row);
        }
    }

    fn drop_one(&mut self, reason: DropReason) {
        self.drop_row(reason, None);
    }

    fn drop_row(&mut self, reason: DropReason, what: Option<&str>) {
        *self.dropped.entry(reason).or_insert(0) += 1;
        self.place_dropped(reason, what);
    }

    /// Applies [`OnBadRow`] to a row that cannot be read.
    fn bad(&mut self, line: usize, bad: Bad) -> Result<(), DataError> {
        match self.on_bad_row {
            OnBadRow::Drop => {
                self.drop_row(bad.reason, Some(&bad.what));
                Ok(())
            }
            OnBadRow::Fail => {
                let what = format!(
                    "{}; repair the row, or drop such rows (on_bad_row: drop)",
                    bad.what
                );
                Err(self.numbering.row_error(&self.path, line, what))
            }
        }
    }

    fn finish(mut self, format: Format) -> (Vec<T>, ReadReport) {
        self.seen.tell_sides();
        let report = ReadReport {
            path: self.path,
            format,
            rows: self.rows,
            kept: self.out.len(),
            dropped: self.dropped,
            unused: self.seen.unused,
            prompt_from: self.seen.prompt_from,
            notes: self.seen.notes,
            numbering: self.numbering,
        };
        let plain = report.dropped.is_empty() && report.unused.is_empty();
        if plain && report.prompt_from.is_empty() && report.notes.is_empty() {
            tracing::debug!("{report}");
        } else {
            tracing::warn!("{report}");
        }
        (self.out, report)
    }
}

impl Sink<PreferencePair> {
    /// Keeps a comparison, or drops it if there is nothing to compare.
    fn pair(&mut self, prompt: Prompt, chosen: String, rejected: String, score_gap: Option<f64>) {
        if chosen == rejected {
            self.drop_one(DropReason::EqualAnswers);
        } else if chosen.trim().is_empty() || rejected.trim().is_empty() {
            self.drop_one(DropReason::EmptyCompletion);
        } else {
            self.out.push(PreferencePair {
                prompt,
                chosen: chosen.into(),
                rejected: rejected.into(),
                score_gap,
            });
        }
    }
}

impl Sink<SftExample> {
    fn example(&mut self, prompt: Prompt, completion: String) {
        if completion.trim().is_empty() {
            self.drop_one(DropReason::EmptyCompletion);
        } else {
            self.out.push(SftExample {
                prompt,
                completion: Completion::from(completion),
            });
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
        pairs(self, format, options, &mut sink)?;
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
        examples(self, format, options, &mut sink)?;
        Ok(sink.finish(format))
    }

    fn format_of(&mut self, options: &ReadOptions) -> Result<Format, DataError> {
        options.format.map_or_else(|| self.format(), Ok)
    }
}

fn pairs(
    mut input: Input,
    format: Format,
    options: &ReadOptions,
    sink: &mut Sink<PreferencePair>,
) -> Result<(), DataError> {
    match format {
        Format::HhRlhf => each_row(input, format, sink, |row, sink| {
            hh::row(row, options.hh_turns, sink)
        }),
        Format::Trl => each_row(input, format, sink, trl::row),
        Format::UltraFeedback => each_row(input, format, sink, ultrafeedback::row),
        Format::OasstTrees => each_row(input, format, sink, oasst::row),
        Format::SummarizeComparisons => each_row(input, format, sink, summarize::row),
        Format::ScoredAnswers => each_row(input, format, sink, |row, sink| {
            scored_answers::row(row, options.answer_pairs, sink)
        }),
        Format::HelpSteer => each_row(input, format, sink, helpsteer::row),
        Format::GradedRows => {
            let mut graded = GradedRows::default();
            each_row(input, format, sink, |row, sink| graded.row(row, sink))?;
            graded.finish(sink);
            Ok(())
        }
        Format::TwoColumnCsv => table::read(input, sink),
        Format::Candidates => {
            input.expect_labels()?;
            each_row(input, format, sink, candidates::labelled_row)
        }
        Format::Messages | Format::PromptCompletion => Err(input.format_error(format!(
            "{format} rows hold no comparison: give rows with `chosen` and `rejected` (library: `read_sft` reads these rows)"
        ))),
    }
}

/// Returns true for a column that the reader of a format reads. `labels` are further columns.
fn is_read(format: Format, name: &str, prompt_given: bool, labels: &[String]) -> bool {
    let prompt = || !prompt_given && is_prompt_name(name);
    let read = match format {
        Format::HhRlhf => ["chosen", "rejected"].contains(&name),
        Format::Trl => trl::COLUMNS.contains(&name) || prompt(),
        Format::UltraFeedback => {
            let scores = ["score_chosen", "score_rejected", "metadata"];
            trl::COLUMNS.contains(&name) || scores.contains(&name) || prompt()
        }
        Format::PromptCompletion => ["prompt", "completion", "label"].contains(&name),
        Format::Messages => name == "messages",
        // Rows of these formats have few other columns.
        _ => true,
    };
    read || is_meant(name) || NUMBERS.contains(&name) || labels.iter().any(|label| label == name)
}

fn examples(
    input: Input,
    format: Format,
    options: &ReadOptions,
    sink: &mut Sink<SftExample>,
) -> Result<(), DataError> {
    match format {
        Format::Messages => each_row(input, format, sink, |row, sink| {
            sft::messages_row(row, options.sft_turns, sink)
        }),
        Format::PromptCompletion => each_row(input, format, sink, sft::prompt_completion_row),
        _ => Err(input.format_error(format!(
            "{format} rows are comparisons: read them with `read_pairs` and take `SftExample::from` each pair"
        ))),
    }
}

/// Passes each row to `take`.
fn each_row<T>(
    mut input: Input,
    format: Format,
    sink: &mut Sink<T>,
    mut take: impl FnMut(&Map<String, Value>, &mut Sink<T>) -> Result<(), Bad>,
) -> Result<(), DataError> {
    input.expect_rows(format)?;
    if input.is_array()? {
        return Err(input.array());
    }
    let labels = &sink.labels.columns;
    let prompt_given = input
        .table()
        .is_some_and(|table| table.is_always_given("prompt"));
    let skipped = input.only(|name| is_read(format, name, prompt_given, labels));
    sink.seen.unused.extend(skipped);
    let mut rows = input.into_rows()?;
    sink.numbering = rows.numbering.clone();
    while let Some((line, row)) = rows.next_row()? {
        sink.rows += 1;
        sink.line = line;
        let taken = row.and_then(|row| {
            let labels = sink.labels.of(&row)?;
            let numbers = sink.numbers_of(&row)?;
            let taken = take(&row, sink);
            sink.labels.keep(labels, sink.out.len());
            sink.keep_numbers(numbers);
            taken
        });
        sink.place();
        if let Err(bad) = taken {
            sink.bad(line, bad)?;
        }
    }
    Ok(())
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
