//! The rows of a file as an iterator, for files that do not fit into memory.

use std::fmt;

use collimate_core::PreferencePair;

use super::candidates::{self, Candidates};
use super::format::Format;
use super::places::{DroppedRow, Places};
use super::report::ReadReport;
use super::sink::Sink;
use super::steps::{Step, each_row, example_steps, pair_steps};
use super::{Input, ReadOptions};
use crate::error::DataError;
use crate::example::SftExample;

/// The pairs, examples or answers that one row of a file gives.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamedRow<T> {
    /// The results, each with its line from 1. In a Parquet file, the number of the row. Answers
    /// that are compared over several rows have the line of the first row.
    pub kept: Vec<(usize, T)>,
    /// Comparisons of the row that are not used, or the row itself.
    pub dropped: Vec<DroppedRow>,
}

/// An iterator over the rows of a file, in the order of the file.
///
/// Memory does not grow with the number of rows. After an error the iterator ends. At the end of the
/// file the report is logged, as the readers do.
///
/// # Examples
/// ```
/// use collimate_data::{Input, ReadOptions};
/// let rows = "{\"chosen\": \"yes\", \"rejected\": \"no\"}\n{\"chosen\": \"a\", \"rejected\": \"a\"}\n";
/// let input = Input::from_reader("pairs.jsonl", rows.as_bytes())?;
/// let mut rows = input.stream_pairs(&ReadOptions::default())?;
/// assert_eq!(rows.next().unwrap()?.kept[0].1.chosen.text, "yes");
/// assert!(rows.next().unwrap()?.kept.is_empty());
/// assert!(rows.next().is_none());
/// assert_eq!((rows.report().rows, rows.report().kept), (2, 1));
/// # Ok::<(), collimate_data::DataError>(())
/// ```
pub struct RowStream<T> {
    step: Step<T>,
    sink: Sink<T>,
    format: Format,
    ended: bool,
}

impl<T> fmt::Debug for RowStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream")
            .field("format", &self.format)
            .field("rows", &self.sink.rows)
            .finish_non_exhaustive()
    }
}

impl<T> RowStream<T> {
    fn new(step: Step<T>, sink: Sink<T>, format: Format) -> Self {
        Self {
            step,
            sink,
            format,
            ended: false,
        }
    }

    /// Returns the report on the rows so far.
    pub fn report(&self) -> ReadReport {
        self.sink.report(self.format)
    }

    /// Returns what the sink holds, or `None` if it holds nothing.
    fn collected(&mut self) -> Option<StreamedRow<T>> {
        let Places { kept, dropped } = self.sink.places.replace(Places::default())?;
        let out = self.sink.take();
        let row = StreamedRow {
            kept: kept.into_iter().zip(out).collect(),
            dropped,
        };
        (!row.kept.is_empty() || !row.dropped.is_empty()).then_some(row)
    }
}

impl<T> Iterator for RowStream<T> {
    type Item = Result<StreamedRow<T>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match (self.step)(&mut self.sink) {
            Ok(true) => Some(Ok(self.collected().unwrap_or(StreamedRow {
                kept: Vec::new(),
                dropped: Vec::new(),
            }))),
            Ok(false) => {
                self.ended = true;
                self.report().log();
                self.collected().map(Ok)
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl Input {
    /// Returns an iterator over the rows of a file of pairs. The rows together give the pairs of
    /// [`read_pairs`](super::read_pairs), in the same order.
    ///
    /// # Errors
    /// As [`read_pairs`](super::read_pairs). The error of a row comes from the iterator.
    pub fn stream_pairs(
        mut self,
        options: &ReadOptions,
    ) -> Result<RowStream<PreferencePair>, DataError> {
        let format = self.format_of(options)?;
        let mut sink = Sink::placed(self.path(), options);
        let step = pair_steps(self, format, options, &mut sink)?;
        Ok(RowStream::new(step, sink, format))
    }

    /// Returns an iterator over the rows of a file of examples. The rows together give the examples
    /// of [`read_sft`](super::read_sft), in the same order.
    ///
    /// # Errors
    /// As [`read_sft`](super::read_sft). The error of a row comes from the iterator.
    pub fn stream_sft(mut self, options: &ReadOptions) -> Result<RowStream<SftExample>, DataError> {
        let format = self.format_of(options)?;
        let mut sink = Sink::placed(self.path(), options);
        let step = example_steps(self, format, options, &mut sink)?;
        Ok(RowStream::new(step, sink, format))
    }

    /// Returns an iterator over rows with several answers each, for a file whose format is
    /// [`Format::Candidates`]. The rows together give the answers of
    /// [`read_unlabelled`](Self::read_unlabelled), in the same order.
    ///
    /// # Errors
    /// The rows have another format. Otherwise as [`read_pairs`](super::read_pairs). The error of a
    /// row comes from the iterator.
    pub fn stream_candidates(
        mut self,
        options: &ReadOptions,
    ) -> Result<RowStream<Candidates>, DataError> {
        let format = self.format_of(options)?;
        if format != Format::Candidates {
            return Err(self.format_error(format!(
                "{format} rows, where rows with several answers are expected"
            )));
        }
        let mut sink = Sink::placed(self.path(), options);
        let step = each_row(self, format, &mut sink, candidates::row)?;
        Ok(RowStream::new(step, sink, format))
    }
}
