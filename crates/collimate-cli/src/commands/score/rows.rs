//! The rows of the data file, part by part.

use collimate::core::PreferencePair;
use collimate::data::{
    Candidates, DataError, Format, Input, ReadOptions, ReadReport, RowStream, SftExample,
    StreamedRow,
};

use super::{Args, Rows};
use crate::common::Failure;

/// Number of rows that are scored at once.
const PART: usize = 1024;

/// The rows of the data file. Memory does not grow with their number.
pub(super) enum Parts {
    Examples(RowStream<SftExample>),
    Answers(RowStream<Candidates>),
    Pairs(RowStream<PreferencePair>),
}

impl Parts {
    pub(super) fn open(args: &Args) -> Result<Self, Failure> {
        let mut input = Input::open(&args.data)?;
        let format = match args.format {
            Some(format) => format,
            None => input.format()?,
        };
        let options = ReadOptions {
            format: Some(format),
            on_bad_row: args.on_bad_row,
            hh_turns: args.hh_turns,
            pair_numbers: true,
            ..ReadOptions::default()
        };
        Ok(match format {
            Format::PromptCompletion | Format::Messages => {
                Self::Examples(input.stream_sft(&options)?)
            }
            Format::Candidates => Self::Answers(input.stream_candidates(&options)?),
            _ => Self::Pairs(input.stream_pairs(&options)?),
        })
    }

    /// Returns the next rows, or `None` after the last one.
    pub(super) fn next(&mut self) -> Result<Option<Rows>, DataError> {
        let rows = match self {
            Self::Examples(rows) => Rows::Single(part(rows)?),
            Self::Pairs(rows) => Rows::Pairs(part(rows)?),
            Self::Answers(rows) => {
                let rows = part(rows)?.into_iter().flat_map(|row| {
                    let example = move |completion| SftExample {
                        prompt: row.prompt.clone(),
                        completion,
                    };
                    row.responses.into_iter().map(example)
                });
                Rows::Single(rows.collect())
            }
        };
        Ok((rows.len() > 0).then_some(rows))
    }

    /// Returns the report on the rows so far.
    pub(super) fn report(&self) -> ReadReport {
        match self {
            Self::Examples(rows) => rows.report(),
            Self::Answers(rows) => rows.report(),
            Self::Pairs(rows) => rows.report(),
        }
    }
}

fn part<T>(
    rows: &mut impl Iterator<Item = Result<StreamedRow<T>, DataError>>,
) -> Result<Vec<T>, DataError> {
    let mut part = Vec::with_capacity(PART);
    while part.len() < PART
        && let Some(row) = rows.next()
    {
        part.extend(row?.kept.into_iter().map(|(_, kept)| kept));
    }
    Ok(part)
}
