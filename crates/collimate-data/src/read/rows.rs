//! Rows of an input, whatever the kind of file.

use super::answer_table::AnswerTable;
use super::columnar;
use super::fields::Object;
use super::lines::Lines;
use super::numbering::Numbering;
use super::{Bad, parse};
use crate::error::DataError;

/// A row, or the problem with the row, with its number.
pub(super) type NumberedRow = (usize, Result<Object, Bad>);

/// The rows of an input, one at a time: JSON lines, the rows of a Parquet file, or the rows of a
/// table of answers.
pub(super) struct Rows {
    from: From,
    /// Meaning of the numbers of the rows.
    pub(super) numbering: Numbering,
}

enum From {
    Lines(Lines),
    Table(Box<columnar::Rows>),
    Cells(Box<AnswerTable>),
}

impl Rows {
    pub(super) fn lines(lines: Lines) -> Self {
        Self {
            from: From::Lines(lines),
            numbering: Numbering::Lines,
        }
    }

    pub(super) fn cells(table: AnswerTable) -> Self {
        Self {
            from: From::Cells(Box::new(table)),
            numbering: Numbering::Lines,
        }
    }

    pub(super) fn table(table: &columnar::Table) -> Self {
        Self {
            from: From::Table(Box::new(table.rows())),
            numbering: table.numbering().clone(),
        }
    }

    /// Returns the next row with its number, or the problem with the row.
    ///
    /// # Errors
    /// A read fails, or the file is damaged.
    pub(super) fn next_row(&mut self) -> Result<Option<NumberedRow>, DataError> {
        match &mut self.from {
            From::Table(rows) => rows.next_row(),
            From::Cells(rows) => rows.next_row(),
            From::Lines(lines) => Ok(lines
                .next_line()?
                .map(|(line, bytes)| (line, parse(bytes.trim_ascii())))),
        }
    }
}
