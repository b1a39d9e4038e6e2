//! Numbers of rows, and the places in a file that they stand for.

use std::path::Path;

use crate::error::DataError;

/// Meaning of the numbers of rows that a reader returns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Numbering {
    /// The number is the line where a row begins, from 1.
    #[default]
    Lines,
    /// The number counts the rows of a Parquet file, from 1. Here is the number of rows of each row
    /// group.
    RowGroups(Vec<usize>),
}

impl Numbering {
    /// Returns the word for one number: `line` or `row`.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Lines => "line",
            Self::RowGroups(_) => "row",
        }
    }

    /// Names the place of a row: `line 3`, or `row group 2, row 17`. Both numbers of a Parquet file
    /// count from 1, the rows within their group.
    pub fn place(&self, number: usize) -> String {
        match self.in_group(number) {
            Some((group, row)) => format!("row group {group}, row {row}"),
            None => format!("{} {number}", self.unit()),
        }
    }

    /// Returns the row group and the row in the group.
    fn in_group(&self, number: usize) -> Option<(usize, usize)> {
        let Self::RowGroups(sizes) = self else {
            return None;
        };
        let mut left = number;
        for (index, size) in sizes.iter().enumerate() {
            if left <= *size {
                return Some((index + 1, left));
            }
            left -= size;
        }
        None
    }

    /// Returns the error for a row that breaks the rules of its format.
    pub(super) fn row_error(&self, path: &Path, number: usize, what: String) -> DataError {
        let path = path.to_owned();
        match self.in_group(number) {
            Some((group, row)) => DataError::ParquetRow {
                path,
                group,
                row,
                what,
            },
            None => DataError::Row {
                path,
                line: number,
                what,
            },
        }
    }
}
