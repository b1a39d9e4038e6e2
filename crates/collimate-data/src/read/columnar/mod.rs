//! Rows of Parquet files, in the form of the rows of JSON lines.
//!
//! A file is read one row group after the other. From each column, a page and the values of a few
//! rows are in memory.

mod chunks;
mod footer;
mod leaf;
mod node;
mod pages;
#[cfg(test)]
mod tests;
mod texts;
mod value;

use std::collections::BTreeSet;
use std::fs::File;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::Length;
use serde_json::{Map, Value};

use self::chunks::Chunks;
use self::leaf::{Leaf, said};
use self::node::{Damage, Node};
use super::numbering::Numbering;
use super::rows::NumberedRow;
use crate::error::DataError;

/// A Parquet file whose footer was read.
pub(super) struct Table {
    path: PathBuf,
    file: Arc<Chunks>,
    metadata: Arc<ParquetMetaData>,
    columns: Vec<Column>,
    numbering: Numbering,
}

struct Column {
    name: String,
    node: Node,
    /// False if no reader needs the values.
    read: bool,
}

impl Table {
    /// Reads the footer of a Parquet file.
    pub(super) fn open(path: &Path, mut file: File) -> Result<Self, DataError> {
        let wrong = |what: String| DataError::Parquet {
            path: path.to_owned(),
            what,
        };
        let footer = footer::read(&mut file).map_err(&wrong)?;
        let parsed = catch_unwind(|| ParquetMetaDataReader::decode_metadata(&footer));
        let metadata = match parsed {
            Ok(Ok(metadata)) => Ok(metadata),
            Ok(Err(error)) => Err(said(&error)),
            Err(_) => Err("the list of columns cannot be read".to_owned()),
        };
        let metadata = metadata.map_err(|what| {
            wrong(format!(
                "a damaged Parquet file ({what}): fetch the file again"
            ))
        })?;
        let file = Chunks(file);
        let sizes = checked(&metadata, file.len()).map_err(&wrong)?;
        let root = metadata.file_metadata().schema_descr().root_schema();
        let columns: Vec<Column> = Node::columns(root)
            .into_iter()
            .map(|(name, node)| Column {
                name,
                node,
                read: true,
            })
            .collect();
        let mut names = BTreeSet::new();
        if let Some(twice) = columns.iter().find(|column| !names.insert(&column.name)) {
            let name = &twice.name;
            return Err(wrong(format!(
                "two columns are called `{name}`: rename one of them"
            )));
        }
        if columns.is_empty() {
            return Err(wrong(
                "a Parquet file without columns: name a file of rows".to_owned(),
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            metadata: Arc::new(metadata),
            columns,
            numbering: Numbering::RowGroups(sizes),
        })
    }

    pub(super) fn numbering(&self) -> &Numbering {
        &self.numbering
    }

    /// Reads only the columns with these names. Returns the names of the other columns that hold a
    /// text.
    pub(super) fn only(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        for column in &mut self.columns {
            column.read = wanted(&column.name);
        }
        let skipped = self.columns.iter().filter(|column| !column.read);
        skipped
            .filter(|column| column.node.holds_text(&|at| self.holds_text(at)))
            .map(|column| column.name.clone())
            .collect()
    }

    /// Returns true if the statistics of the file say that a column of texts has no missing value
    /// and no empty text.
    pub(super) fn is_always_given(&self, name: &str) -> bool {
        let column = self.columns.iter().find(|column| column.name == name);
        let Some(Node::Leaf(at, _)) = column.map(|column| &column.node) else {
            return false;
        };
        self.metadata.row_groups().iter().all(|group| {
            let statistics = group
                .columns()
                .get(*at)
                .and_then(|column| column.statistics());
            statistics.is_some_and(|known| {
                // No text with this smallest text begins with white space.
                let least = known.min_bytes_opt().and_then(|bytes| bytes.first());
                known.null_count_opt() == Some(0) && least.is_some_and(|byte| *byte > b' ')
            })
        })
    }

    /// Returns true for a column of values that holds texts, unless its statistics say that all are
    /// missing or empty.
    fn holds_text(&self, at: usize) -> bool {
        self.metadata.row_groups().iter().any(|group| {
            let Some(column) = group.columns().get(at) else {
                return false;
            };
            let described = column.column_descr();
            let text = matches!(
                described.converted_type(),
                ConvertedType::UTF8 | ConvertedType::JSON | ConvertedType::ENUM
            ) || matches!(
                described.logical_type_ref(),
                Some(LogicalType::String | LogicalType::Json | LogicalType::Enum)
            );
            let nothing = column.statistics().is_some_and(|known| {
                let none = u64::try_from(column.num_values()).ok();
                none.is_some() && known.null_count_opt() == none
                    || known.max_bytes_opt().is_some_and(<[u8]>::is_empty)
            });
            text && !nothing
        })
    }

    /// Returns the first rows, with all columns.
    pub(super) fn first_rows(&self) -> Rows {
        let mut rows = Rows::new(self);
        rows.columns.iter_mut().for_each(|column| column.2 = true);
        rows
    }

    pub(super) fn rows(&self) -> Rows {
        Rows::new(self)
    }
}

/// Checks the numbers in the metadata. Returns the number of rows of each row group.
fn checked(metadata: &ParquetMetaData, length: u64) -> Result<Vec<usize>, String> {
    let damaged = |what: &str| format!("a damaged Parquet file ({what}): fetch the file again");
    let leaves = metadata.file_metadata().schema_descr().num_columns();
    let mut all: usize = 0;
    let each = metadata.row_groups().iter().map(|group| {
        let rows = usize::try_from(group.num_rows())
            .ok()
            .filter(|rows| all.checked_add(*rows).is_some_and(|sum| sum < usize::MAX));
        let rows = rows.ok_or_else(|| damaged("an impossible number of rows"))?;
        all += rows;
        if group.num_columns() != leaves {
            return Err(damaged("a row group lacks columns"));
        }
        let inside = group
            .columns()
            .iter()
            .all(|column| lies_inside(column, length));
        match inside {
            true => Ok(rows),
            false => Err(damaged("a column lies outside the file")),
        }
    });
    each.collect()
}

fn lies_inside(column: &ColumnChunkMetaData, length: u64) -> bool {
    let offset = column.dictionary_page_offset();
    let start = u64::try_from(offset.unwrap_or_else(|| column.data_page_offset()));
    let size = u64::try_from(column.compressed_size());
    let end = start
        .ok()
        .zip(size.ok())
        .and_then(|(start, size)| start.checked_add(size));
    end.is_some_and(|end| end <= length)
}

/// The rows of a Parquet file.
pub(super) struct Rows {
    path: PathBuf,
    file: Arc<Chunks>,
    metadata: Arc<ParquetMetaData>,
    columns: Vec<(String, Node, bool)>,
    /// The columns of values of the current row group that are read.
    leaves: Vec<Option<Leaf>>,
    /// Number of row groups that were opened.
    groups: usize,
    /// Number of rows left in the current row group.
    left: usize,
    /// Number of rows returned.
    rows: usize,
}

impl Rows {
    fn new(table: &Table) -> Self {
        let column = |column: &Column| (column.name.clone(), column.node.clone(), column.read);
        Self {
            path: table.path.clone(),
            file: Arc::clone(&table.file),
            metadata: Arc::clone(&table.metadata),
            columns: table.columns.iter().map(column).collect(),
            leaves: Vec::new(),
            groups: 0,
            left: 0,
            rows: 0,
        }
    }

    /// Returns the next row with its number in the file, from 1.
    ///
    /// # Errors
    /// The file is damaged.
    pub(super) fn next_row(&mut self) -> Result<Option<NumberedRow>, DataError> {
        while self.left == 0 {
            for at in 0..self.leaves.len() {
                if let Some(Err(what)) = self.leaves[at].as_mut().map(Leaf::finish) {
                    return Err(self.damaged((at, what)));
                }
            }
            self.leaves.clear();
            if self.groups == self.metadata.num_row_groups() {
                return Ok(None);
            }
            self.open_group()?;
        }
        for at in 0..self.leaves.len() {
            if let Some(Err(what)) = self.leaves[at].as_mut().map(Leaf::next_row) {
                return Err(self.damaged((at, what)));
            }
        }
        let mut row = Map::new();
        let mut bad = None;
        for (name, node, read) in &self.columns {
            let value = match read {
                true => node.read(&mut self.leaves, &mut bad),
                false => Ok(Value::Null),
            };
            match value {
                Ok(value) => row.insert(name.clone(), value),
                Err(damage) => return Err(self.damaged(damage)),
            };
        }
        self.left -= 1;
        self.rows += 1;
        Ok(Some((self.rows, bad.map_or(Ok(row), Err))))
    }

    fn open_group(&mut self) -> Result<(), DataError> {
        let metadata = Arc::clone(&self.metadata);
        let group = metadata.row_group(self.groups);
        self.groups += 1;
        let mut wanted = vec![false; group.num_columns()];
        for (_, node, _) in self.columns.iter().filter(|(.., read)| *read) {
            node.each_leaf(&mut |at| wanted[at] = true);
        }
        self.left = usize::try_from(group.num_rows()).unwrap_or(0);
        for (at, column) in group.columns().iter().enumerate() {
            let leaf = match wanted[at] {
                false => None,
                true => {
                    packed(column).map_err(|what| self.damaged((at, what)))?;
                    let leaf = Leaf::open(&self.file, column, self.left);
                    Some(leaf.map_err(|error| self.damaged((at, said(&error))))?)
                }
            };
            self.leaves.push(leaf);
        }
        Ok(())
    }

    fn damaged(&self, (at, what): Damage) -> DataError {
        let schema = self.metadata.file_metadata().schema_descr();
        let column = schema.columns().get(at);
        let column = column.map_or_else(String::new, |column| column.path().string());
        DataError::Parquet {
            path: self.path.clone(),
            what: format!("row group {}, column `{column}`: {what}", self.groups),
        }
    }
}

/// Checks that the compression of a column can be unpacked.
fn packed(column: &ColumnChunkMetaData) -> Result<(), String> {
    let name = match column.compression() {
        Compression::BROTLI(_) => "brotli",
        Compression::LZ4 | Compression::LZ4_RAW => "lz4",
        Compression::LZO => "lzo",
        _ => return Ok(()),
    };
    Err(format!(
        "compressed with {name}, which is not supported: write the file again with zstd or snappy, \
         for instance with pyarrow: `pq.write_table(pq.read_table(FILE), OUT, compression='zstd')`"
    ))
}
