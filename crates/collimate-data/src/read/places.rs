//! Line numbers of rows in their file.

use collimate_core::PreferencePair;

use super::report::{DropReason, ReadReport};
use super::sink::Sink;
use super::steps::{self, example_steps, pair_steps};
use super::{Input, ReadOptions};
use crate::error::DataError;
use crate::example::SftExample;

/// A row, or one comparison of a row, that was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedRow {
    /// The line where the row begins, from 1. In a Parquet file, the number of the row.
    pub line: usize,
    /// Reason why the row was not used.
    pub reason: DropReason,
    /// The message about a row that cannot be read. `None` for a readable row without information.
    pub what: Option<String>,
}

/// The lines of the rows of a file. In a Parquet file, the numbers of the rows, from 1.
/// [`ReadReport::numbering`] names their places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The line of each returned pair or example, from 1, in the same order.
    pub kept: Vec<usize>,
    /// The rows and comparisons that were not used, in the order of the file.
    pub dropped: Vec<DroppedRow>,
}

impl Input {
    /// Reads preference pairs with their line numbers. Like [`read_pairs`](super::read_pairs), for
    /// programs that report places in a file to a user.
    ///
    /// # Errors
    /// As [`read_pairs`](super::read_pairs).
    pub fn read_placed_pairs(
        mut self,
        options: &ReadOptions,
    ) -> Result<(Vec<PreferencePair>, Places, ReadReport), DataError> {
        let format = self.format_of(options)?;
        let mut sink = Sink::placed(self.path(), options);
        steps::all(pair_steps(self, format, options, &mut sink)?, &mut sink)?;
        let places = sink.take_places();
        let (pairs, report) = sink.finish(format);
        Ok((pairs, places, report))
    }

    /// Reads examples for supervised fine-tuning with their line numbers. Like
    /// [`read_sft`](super::read_sft), for programs that report places in a file to a user.
    ///
    /// # Errors
    /// As [`read_sft`](super::read_sft).
    pub fn read_placed_sft(
        mut self,
        options: &ReadOptions,
    ) -> Result<(Vec<SftExample>, Places, ReadReport), DataError> {
        let format = self.format_of(options)?;
        let mut sink = Sink::placed(self.path(), options);
        steps::all(example_steps(self, format, options, &mut sink)?, &mut sink)?;
        let places = sink.take_places();
        let (examples, report) = sink.finish(format);
        Ok((examples, places, report))
    }
}

impl<T> Sink<T> {
    pub(super) fn placed(path: &std::path::Path, options: &ReadOptions) -> Self {
        let mut sink = Self::new(path, options);
        sink.places = Some(Places::default());
        sink
    }

    /// Records the line of everything kept since the last row.
    pub(super) fn place(&mut self) {
        let (kept, line) = (self.out.len(), self.line);
        if let Some(places) = &mut self.places {
            places.kept.resize(kept, line);
        }
    }

    /// Records the line of a dropped row.
    pub(super) fn place_dropped(&mut self, reason: DropReason, what: Option<&str>) {
        let line = self.line;
        if let Some(places) = &mut self.places {
            places.dropped.push(DroppedRow {
                line,
                reason,
                what: what.map(str::to_owned),
            });
        }
    }

    pub(super) fn take_places(&mut self) -> Places {
        self.places.take().unwrap_or_default()
    }
}
