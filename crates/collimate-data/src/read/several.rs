//! Pairs of several files that are one dataset.

use std::path::Path;

use collimate_core::PreferencePair;

use super::format::Format;
use super::report::ReadReport;
use super::{Input, ReadOptions};
use crate::error::DataError;

/// Reads preference pairs from files that are one dataset, such as the files that
/// [`data_files`](crate::data_files) returns, in their order. Returns one report for each file. A
/// file without rows is left out with a warning.
///
/// # Errors
/// As [`read_pairs`](super::read_pairs). The files have different formats, and the options name
/// none. No file has a row, or the list of files is empty.
pub fn read_pairs_of<P: AsRef<Path>>(
    files: &[P],
    options: &ReadOptions,
) -> Result<(Vec<PreferencePair>, Vec<ReadReport>), DataError> {
    let mut pairs = Vec::new();
    let mut reports: Vec<ReadReport> = Vec::new();
    let mut empty = None;
    for file in files {
        let read = Input::open(file).and_then(|mut input| {
            let format = input.format_of(options)?;
            alike(&input, format, reports.first())?;
            let options = ReadOptions {
                format: Some(format),
                ..options.clone()
            };
            input.read_pairs(&options)
        });
        match read {
            Ok((more, report)) => {
                pairs.extend(more);
                reports.push(report);
            }
            Err(error @ DataError::Empty { .. }) => {
                tracing::warn!("{error}");
                empty.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match (reports.is_empty(), empty) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(DataError::argument("files", "an empty list", "name a file")),
        _ => Ok((pairs, reports)),
    }
}

/// Checks that a file has the format of the first one.
fn alike(input: &Input, format: Format, first: Option<&ReadReport>) -> Result<(), DataError> {
    match first {
        Some(first) if first.format != format => Err(input.format_error(format!(
            "{format} rows, but {} has {} rows: read the files one by one, or name the format",
            first.path.display(),
            first.format
        ))),
        _ => Ok(()),
    }
}
