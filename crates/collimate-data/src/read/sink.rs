//! Collects the results of the rows of one file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use collimate_core::{Completion, PreferencePair, Prompt};

use super::format::Format;
use super::labels::Notes;
use super::numbering::Numbering;
use super::numbers::PairNumbers;
use super::places::Places;
use super::report::{DropReason, ReadReport};
use super::seen::Seen;
use super::{Bad, OnBadRow, ReadOptions};
use crate::error::DataError;
use crate::example::SftExample;

/// Collects the results of the rows of one file.
pub(super) struct Sink<T> {
    path: PathBuf,
    on_bad_row: OnBadRow,
    pub(super) out: Vec<T>,
    /// Number of results that were taken out already.
    taken: usize,
    pub(super) rows: usize,
    dropped: BTreeMap<DropReason, usize>,
    pub(super) seen: Seen,
    pub(super) labels: Notes,
    /// The number of the current row.
    pub(super) line: usize,
    pub(super) numbering: Numbering,
    /// The lines of rows, if the caller asked for them.
    pub(super) places: Option<Places>,
    /// If true, pairs get the numbers of their row.
    pub(super) with_numbers: bool,
    /// The numbers of the current row.
    pub(super) numbers: PairNumbers,
}

impl<T> Sink<T> {
    pub(super) fn new(path: &Path, options: &ReadOptions) -> Self {
        Self {
            path: path.to_owned(),
            on_bad_row: options.on_bad_row,
            out: Vec::new(),
            taken: 0,
            rows: 0,
            dropped: BTreeMap::new(),
            seen: Seen::default(),
            labels: Notes::default(),
            line: 0,
            numbering: Numbering::default(),
            places: None,
            with_numbers: false,
            numbers: PairNumbers::default(),
        }
    }

    pub(super) fn drop_one(&mut self, reason: DropReason) {
        self.drop_row(reason, None);
    }

    fn drop_row(&mut self, reason: DropReason, what: Option<&str>) {
        *self.dropped.entry(reason).or_insert(0) += 1;
        self.place_dropped(reason, what);
    }

    /// Applies [`OnBadRow`] to a row that cannot be read.
    pub(super) fn bad(&mut self, line: usize, bad: Bad) -> Result<(), DataError> {
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

    /// Removes and returns the results collected since the last call.
    pub(super) fn take(&mut self) -> Vec<T> {
        self.taken += self.out.len();
        std::mem::take(&mut self.out)
    }

    /// Returns the report on the rows so far.
    pub(super) fn report(&self, format: Format) -> ReadReport {
        let mut unused = self.seen.unused.clone();
        if self.with_numbers {
            unused.retain(|name| !PairNumbers::COLUMNS.contains(&name.as_str()));
        }
        ReadReport {
            path: self.path.clone(),
            format,
            rows: self.rows,
            kept: self.taken + self.out.len(),
            dropped: self.dropped.clone(),
            unused,
            prompt_from: self.seen.prompt_from.clone(),
            notes: self.seen.notes_with_sides(),
            numbering: self.numbering.clone(),
        }
    }

    pub(super) fn finish(self, format: Format) -> (Vec<T>, ReadReport) {
        let report = self.report(format);
        report.log();
        (self.out, report)
    }
}

impl ReadReport {
    /// Logs the report: as a warning if anything was dropped, decided or not used.
    pub(super) fn log(&self) {
        let plain = self.dropped.is_empty() && self.unused.is_empty();
        if plain && self.prompt_from.is_empty() && self.notes.is_empty() {
            tracing::debug!("{self}");
        } else {
            tracing::warn!("{self}");
        }
    }
}

impl Sink<PreferencePair> {
    /// Keeps a comparison, or drops it if there is nothing to compare.
    pub(super) fn pair(
        &mut self,
        prompt: Prompt,
        chosen: String,
        rejected: String,
        score_gap: Option<f64>,
    ) {
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
                margin: self.numbers.margin,
                weight: self.numbers.weight,
            });
        }
    }
}

impl Sink<SftExample> {
    pub(super) fn example(&mut self, prompt: Prompt, completion: String) {
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
