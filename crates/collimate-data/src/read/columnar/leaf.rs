//! Values of one column of a row group, a few rows at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use serde_json::Value;

use super::chunks::Chunks;
use super::pages::Pages;
use super::value::{Form, FromParquet};
use crate::read::Bad;
use crate::read::report::DropReason;

/// Number of rows whose values are in memory at a time.
const ROWS: usize = 64;

/// A column of a row group. Each entry is a value, or a place where a value is missing.
pub(super) struct Leaf {
    /// Name of the column with all groups around it.
    pub(super) name: String,
    values: Box<dyn Values>,
    form: Form,
    /// Level of an entry with a value.
    full: i16,
    repeated: bool,
    /// Levels of the entries in memory. Empty if every row has a value.
    defined: Vec<i16>,
    repetition: Vec<i16>,
    entries: usize,
    at: usize,
    at_value: usize,
    /// True if an entry of the current row was taken.
    begun: bool,
}

impl Leaf {
    pub(super) fn open(
        file: &Arc<Chunks>,
        column: &ColumnChunkMetaData,
        rows: usize,
    ) -> Result<Self, ParquetError> {
        let described = column.column_descr_ptr();
        let pages = SerializedPageReader::new(Arc::clone(file), column, rows, None)?;
        let pages = Pages::new(pages, column.column_descr());
        let form = form(column);
        let full = described.max_def_level();
        let repeated = described.max_rep_level() > 0;
        let name = described.path().string();
        Ok(Self {
            name,
            values: values(get_column_reader(described, Box::new(pages))),
            form,
            full,
            repeated,
            defined: Vec::new(),
            repetition: Vec::new(),
            entries: 0,
            at: 0,
            at_value: 0,
            begun: false,
        })
    }

    /// Goes to the next row.
    ///
    /// # Errors
    /// There is no further row, or the data are damaged.
    pub(super) fn next_row(&mut self) -> Result<(), String> {
        self.begun = false;
        if self.at < self.entries {
            return match self.level() {
                0 => Ok(()),
                _ => Err("its lists have other lengths than the lists beside it".to_owned()),
            };
        }
        match self.fill(ROWS)? {
            0 => Err("it has fewer rows than the row group".to_owned()),
            _ => Ok(()),
        }
    }

    /// Checks that no row is left.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        match self.at < self.entries || self.fill(1)? > 0 {
            true => Err("it has more rows than the row group".to_owned()),
            false => Ok(()),
        }
    }

    fn fill(&mut self, rows: usize) -> Result<usize, String> {
        self.defined.clear();
        self.repetition.clear();
        (self.at, self.at_value, self.entries) = (0, 0, 0);
        let (values, defined, repetition) =
            (&mut self.values, &mut self.defined, &mut self.repetition);
        // The library panics on some damaged pages.
        let read = catch_unwind(AssertUnwindSafe(|| values.fill(rows, defined, repetition)));
        let (records, entries) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(said(&error)),
            Err(_) => return Err("a damaged page".to_owned()),
        };
        let whole = |levels: &[i16], used: bool| !used || levels.len() == entries;
        if !whole(&self.defined, self.full > 0) || !whole(&self.repetition, self.repeated) {
            return Err("a damaged page".to_owned());
        }
        self.entries = entries;
        Ok(records)
    }

    /// Returns the level of the next entry: 0 if it begins a row, else the depth of the list that
    /// it continues.
    fn level(&self) -> i16 {
        match self.repeated {
            true => self.repetition.get(self.at).copied().unwrap_or(0),
            false => 0,
        }
    }

    /// Returns true if the next entry continues a list of this depth.
    pub(super) fn continues(&self, depth: i16) -> bool {
        self.at < self.entries && self.level() == depth
    }

    /// Returns the number of groups and lists around the next entry that exist.
    pub(super) fn defined(&self) -> i16 {
        match self.full {
            0 => 0,
            _ => self.defined.get(self.at).copied().unwrap_or(0),
        }
    }

    /// Takes the next entry of the row.
    ///
    /// # Errors
    /// The row has no further entry.
    pub(super) fn take(&mut self, bad: &mut Option<Bad>) -> Result<Value, String> {
        if self.at >= self.entries || self.begun && self.level() == 0 {
            return Err("it has fewer values than the columns beside it".to_owned());
        }
        let missing = self.defined() < self.full;
        self.begun = true;
        self.at += 1;
        if missing {
            return Ok(Value::Null);
        }
        let value = self.values.value(self.at_value, &self.form);
        self.at_value += 1;
        value.map_err(|_| "a damaged page".to_owned()).map(|value| {
            value.unwrap_or_else(|| {
                let what = format!("column `{}` is not valid UTF-8", self.name);
                let reason = DropReason::NotUtf8;
                bad.get_or_insert(Bad { reason, what });
                Value::Null
            })
        })
    }
}

/// Returns the message of the library in one line.
pub(super) fn said(error: &ParquetError) -> String {
    let text = error.to_string();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let begins = ["Parquet error: ", "External: ", "EOF: ", "NYI: "];
    let plain = begins.iter().find_map(|begin| text.strip_prefix(begin));
    plain.unwrap_or(&text).to_owned()
}

/// Chooses the JSON form of the values of a column.
fn form(column: &ColumnChunkMetaData) -> Form {
    let described = column.column_descr();
    let logical = described.logical_type_ref();
    match (described.physical_type(), described.converted_type()) {
        (_, ConvertedType::DECIMAL) => Form::Decimal(described.type_scale()),
        (_, ConvertedType::UINT_8 | ConvertedType::UINT_16) => Form::Unsigned,
        (_, ConvertedType::UINT_32 | ConvertedType::UINT_64) => Form::Unsigned,
        (_, ConvertedType::UTF8 | ConvertedType::JSON | ConvertedType::ENUM) => Form::Text,
        (Physical::FIXED_LEN_BYTE_ARRAY, _) if logical == Some(&LogicalType::Float16) => Form::Half,
        _ => match logical {
            Some(LogicalType::String | LogicalType::Json | LogicalType::Enum) => Form::Text,
            Some(LogicalType::Decimal(kind)) => Form::Decimal(kind.scale),
            _ => Form::Plain,
        },
    }
}

/// Values of a column, whatever their type.
trait Values {
    /// Reads up to `rows` rows. Returns the number of rows and of entries.
    fn fill(
        &mut self,
        rows: usize,
        defined: &mut Vec<i16>,
        repetition: &mut Vec<i16>,
    ) -> Result<(usize, usize), ParquetError>;

    /// Returns the value at an index in memory, or `None` for a text that is not UTF-8.
    ///
    /// # Errors
    /// There is no such value.
    fn value(&self, index: usize, form: &Form) -> Result<Option<Value>, ()>;
}

struct Typed<T: DataType> {
    reader: ColumnReaderImpl<T>,
    values: Vec<T::T>,
}

impl<T: DataType> Values for Typed<T>
where
    T::T: FromParquet,
{
    fn fill(
        &mut self,
        rows: usize,
        defined: &mut Vec<i16>,
        repetition: &mut Vec<i16>,
    ) -> Result<(usize, usize), ParquetError> {
        self.values.clear();
        let read =
            self.reader
                .read_records(rows, Some(defined), Some(repetition), &mut self.values)?;
        Ok((read.0, read.2))
    }

    fn value(&self, index: usize, form: &Form) -> Result<Option<Value>, ()> {
        Ok(self.values.get(index).ok_or(())?.to_json(form))
    }
}

fn values(reader: ColumnReader) -> Box<dyn Values> {
    fn typed<T: DataType>(reader: ColumnReaderImpl<T>) -> Box<dyn Values>
    where
        T::T: FromParquet,
        Typed<T>: Values + 'static,
    {
        let values = Vec::new();
        Box::new(Typed { reader, values })
    }
    match reader {
        ColumnReader::BoolColumnReader(reader) => typed(reader),
        ColumnReader::Int32ColumnReader(reader) => typed(reader),
        ColumnReader::Int64ColumnReader(reader) => typed(reader),
        ColumnReader::Int96ColumnReader(reader) => typed(reader),
        ColumnReader::FloatColumnReader(reader) => typed(reader),
        ColumnReader::DoubleColumnReader(reader) => typed(reader),
        ColumnReader::ByteArrayColumnReader(reader) => typed(reader),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => typed(reader),
    }
}
