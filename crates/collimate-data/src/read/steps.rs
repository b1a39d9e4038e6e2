//! The rows of a file one after another: each step reads one row into a sink.

use collimate_core::PreferencePair;
use serde_json::{Map, Value};

use super::format::Format;
use super::graded_rows::GradedRows;
use super::prompt_column::is_prompt_name;
use super::rows::Rows;
use super::seen::{NUMBERS, is_meant};
use super::sink::Sink;
use super::{
    Bad, Input, ReadOptions, candidates, helpsteer, hh, oasst, scored_answers, sft, summarize,
    table, trl, ultrafeedback,
};
use crate::error::DataError;
use crate::example::SftExample;

/// Reads the next row into a sink. Returns false at the end of the file.
pub(super) type Step<T> = Box<dyn FnMut(&mut Sink<T>) -> Result<bool, DataError>>;

/// Takes a row that was parsed.
type Row<T> = fn(&Map<String, Value>, &mut Sink<T>) -> Result<(), Bad>;
type Take<'t, T> = dyn FnMut(&Map<String, Value>, &mut Sink<T>) -> Result<(), Bad> + 't;

/// Reads all rows that are left.
pub(super) fn all<T>(mut step: Step<T>, sink: &mut Sink<T>) -> Result<(), DataError> {
    while step(sink)? {}
    Ok(())
}

/// Returns the steps that read the pairs of a file.
pub(super) fn pair_steps(
    mut input: Input,
    format: Format,
    options: &ReadOptions,
    sink: &mut Sink<PreferencePair>,
) -> Result<Step<PreferencePair>, DataError> {
    sink.with_numbers = options.pair_numbers;
    let row: Row<PreferencePair> = match format {
        Format::HhRlhf => {
            let turns = options.hh_turns;
            return each_row(input, format, sink, move |row, sink| {
                hh::row(row, turns, sink)
            });
        }
        Format::ScoredAnswers => {
            let of = options.answer_pairs;
            return each_row(input, format, sink, move |row, sink| {
                scored_answers::row(row, of, sink)
            });
        }
        Format::GradedRows => return graded_rows(input, sink),
        Format::TwoColumnCsv => return table::steps(input),
        Format::Trl => trl::row,
        Format::UltraFeedback => ultrafeedback::row,
        Format::OasstTrees => oasst::row,
        Format::SummarizeComparisons => summarize::row,
        Format::HelpSteer => helpsteer::row,
        Format::Candidates => {
            input.expect_labels()?;
            candidates::labelled_row
        }
        Format::Messages | Format::PromptCompletion => {
            return Err(input.format_error(format!(
                "{format} rows hold no comparison: give rows with `chosen` and `rejected` (library: `read_sft` reads these rows)"
            )));
        }
    };
    each_row(input, format, sink, row)
}

/// Returns the steps that read the examples of a file.
pub(super) fn example_steps(
    input: Input,
    format: Format,
    options: &ReadOptions,
    sink: &mut Sink<SftExample>,
) -> Result<Step<SftExample>, DataError> {
    match format {
        Format::Messages => {
            let turns = options.sft_turns;
            each_row(input, format, sink, move |row, sink| {
                sft::messages_row(row, turns, sink)
            })
        }
        Format::PromptCompletion => each_row(input, format, sink, sft::prompt_completion_row),
        _ => Err(input.format_error(format!(
            "{format} rows are comparisons: read them with `read_pairs` and take `SftExample::from` each pair"
        ))),
    }
}

/// Returns steps that pass each row to `take`.
pub(super) fn each_row<T: 'static>(
    input: Input,
    format: Format,
    sink: &mut Sink<T>,
    mut take: impl FnMut(&Map<String, Value>, &mut Sink<T>) -> Result<(), Bad> + 'static,
) -> Result<Step<T>, DataError> {
    let mut rows = open(input, format, sink)?;
    Ok(Box::new(move |sink| next_row(&mut rows, sink, &mut take)))
}

/// Compares the answers of rows that follow each other. The last answers are compared at the end of
/// the file.
fn graded_rows(
    input: Input,
    sink: &mut Sink<PreferencePair>,
) -> Result<Step<PreferencePair>, DataError> {
    let mut rows = open(input, Format::GradedRows, sink)?;
    let mut graded = GradedRows::default();
    Ok(Box::new(move |sink| {
        let more = next_row(&mut rows, sink, &mut |row, sink| graded.row(row, sink))?;
        if !more {
            graded.finish(sink);
        }
        Ok(more)
    }))
}

fn open<T>(mut input: Input, format: Format, sink: &mut Sink<T>) -> Result<Rows, DataError> {
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
    let rows = input.into_rows()?;
    sink.numbering = rows.numbering.clone();
    Ok(rows)
}

fn next_row<T>(
    rows: &mut Rows,
    sink: &mut Sink<T>,
    take: &mut Take<'_, T>,
) -> Result<bool, DataError> {
    let Some((line, row)) = rows.next_row()? else {
        return Ok(false);
    };
    sink.rows += 1;
    sink.line = line;
    let taken = row.and_then(|row| {
        let labels = sink.labels.of(&row)?;
        sink.read_numbers(&row)?;
        let taken = take(&row, sink);
        sink.labels.keep(labels, sink.out.len());
        taken
    });
    sink.place();
    if let Err(bad) = taken {
        sink.bad(line, bad)?;
    }
    Ok(true)
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
