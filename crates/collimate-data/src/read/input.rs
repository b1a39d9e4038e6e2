//! A file or a stream of rows, opened once, inspected, then read.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::answer_table::AnswerTable;
use super::columnar::Table;
use super::expansion::Expansion;
use super::kind::{HEAD, described, foreign, parquet_stream};
use super::lines::{Lines, io, newlines, reading};
use super::numbering::Numbering;
use super::rows::Rows;
use super::table::{Header, is_table_name};
use super::{Format, kind_of_error};
use crate::error::DataError;

const BOM: &[u8] = b"\xef\xbb\xbf";
const PARQUET: &[u8] = b"PAR1";
const BUFFER: usize = 1 << 16;
/// Number of rows inspected before a file counts as unrecognised. A bad first row must not hide the
/// format.
const ROWS_LOOKED_AT: usize = 20;

/// Data to read: a file, a pipe, or any stream of bytes.
///
/// An input is opened once, and its first bytes determine its kind. Gzip data are unpacked whatever
/// their name. A Parquet file gives its rows in the form of JSON lines, if the crate has the feature
/// `parquet`. Any other file that contains no text is refused because of its content. The rows that
/// determine the format are also the first rows read afterwards, so a pipe loses nothing. A Parquet
/// file cannot come through a pipe, because its description is at its end.
pub struct Input {
    path: PathBuf,
    /// Bytes that were inspected already.
    head: Vec<u8>,
    rest: Box<dyn BufRead>,
    packed: bool,
    /// The byte that ends a line: a carriage return if the file has no other line end.
    line_end: u8,
    /// A Parquet file, which has rows but no lines.
    table: Option<Box<Table>>,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Layout of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One JSON object per line.
    Rows,
    /// A table with the given separator.
    Table(u8),
    /// A table with several columns of answers.
    Answers(u8),
}

impl Input {
    /// Opens a file or a pipe.
    ///
    /// # Errors
    /// The path is missing or a folder. The data are empty, damaged, or not text.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let mut file = File::open(path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => DataError::Missing {
                path: path.to_owned(),
            },
            _ => io(path, "cannot be opened", source),
        })?;
        let kind = file
            .metadata()
            .map_err(|e| io(path, "cannot be examined", e))?;
        if kind.is_dir() {
            return Err(DataError::Format {
                path: path.to_owned(),
                what: "a folder, not a file: name a file in it".to_owned(),
            });
        }
        if kind.is_file() && begins_as_parquet(path, &mut file)? {
            return Self::parquet(path, file);
        }
        Self::from_reader(path, file)
    }

    #[cfg(feature = "parquet")]
    fn parquet(path: &Path, file: File) -> Result<Self, DataError> {
        Ok(Self {
            path: path.to_owned(),
            head: Vec::new(),
            rest: Box::new(std::io::empty()),
            packed: false,
            line_end: b'\n',
            table: Some(Box::new(Table::open(path, file)?)),
        })
    }

    #[cfg(not(feature = "parquet"))]
    fn parquet(path: &Path, file: File) -> Result<Self, DataError> {
        Self::from_reader(path, file)
    }

    /// Opens a stream, such as standard input. `name` appears in messages.
    ///
    /// # Errors
    /// The data are empty, damaged, or not text.
    pub fn from_reader(
        name: impl Into<PathBuf>,
        reader: impl Read + 'static,
    ) -> Result<Self, DataError> {
        let path = name.into();
        let mut plain: Box<dyn BufRead> = Box::new(BufReader::with_capacity(BUFFER, reader));
        let mut head = Vec::new();
        fill(&path, &mut *plain, &mut head, HEAD)?;
        let packed = head.starts_with(b"\x1f\x8b");
        if packed {
            let whole = Cursor::new(std::mem::take(&mut head)).chain(plain);
            plain = Box::new(BufReader::with_capacity(BUFFER, Expansion::of(whole)));
            fill(&path, &mut *plain, &mut head, HEAD)?;
        }
        if head.starts_with(BOM) {
            head.drain(..BOM.len());
        }
        if head.is_empty() {
            return Err(DataError::Empty { path });
        }
        if head.starts_with(PARQUET) {
            let what = parquet_stream(packed);
            return Err(DataError::Format { path, what });
        }
        if let Some(what) = foreign(&head) {
            return Err(DataError::Format { path, what });
        }
        // The last byte may be the first half of a line end.
        let inner = &head[..head.len() - usize::from(head.len() >= HEAD - BOM.len())];
        let returns = inner.contains(&b'\r') && !head.contains(&b'\n');
        Ok(Self {
            path,
            head,
            rest: plain,
            packed,
            line_end: if returns { b'\r' } else { b'\n' },
            table: None,
        })
    }

    /// Returns the path of the file, or the name of the stream.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the format that the first rows show.
    ///
    /// # Errors
    /// [`DataError::Row`] if no row can be parsed. [`DataError::Format`] if the rows belong to no
    /// known format, or are not JSON lines.
    pub fn format(&mut self) -> Result<Format, DataError> {
        match self.layout()? {
            Layout::Table(_) => Ok(Format::TwoColumnCsv),
            Layout::Answers(_) => Ok(Format::Candidates),
            Layout::Rows => {
                Format::of_row(&self.first_row()?).map_err(|what| self.format_error(what))
            }
        }
    }

    /// Returns the whole text.
    ///
    /// # Errors
    /// Reading fails, or bytes are not UTF-8; the error names the line. The input is a Parquet file.
    pub fn into_text(mut self) -> Result<String, DataError> {
        if self.table.is_some() {
            return Err(self.format_error("a Parquet file, where a text is expected"));
        }
        let mut bytes = std::mem::take(&mut self.head);
        let read = self.rest.read_to_end(&mut bytes);
        read.map_err(|e| reading(&self.path, newlines(&bytes) + 1, e))?;
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            DataError::Row {
                line: newlines(&error.as_bytes()[..valid]) + 1,
                path: self.path,
                what: "not valid UTF-8: convert the file, for example with iconv".to_owned(),
            }
        })
    }

    pub(super) fn format_error(&self, what: impl Into<String>) -> DataError {
        DataError::Format {
            path: self.path.clone(),
            what: what.into(),
        }
    }

    /// Returns true if the name has a JSON extension.
    pub(super) fn is_json_name(&self) -> bool {
        let name = self.path.to_string_lossy().to_lowercase();
        let name = name.trim_end_matches(".gz");
        [".jsonl", ".json", ".ndjson"]
            .iter()
            .any(|end| name.ends_with(end))
    }

    /// Returns true if the data begin with an array of objects.
    pub(super) fn is_array(&mut self) -> Result<bool, DataError> {
        let first = self.line_ahead(1)?;
        let Some((_, line)) = first.filter(|(_, line)| line.starts_with(b"[")) else {
            return Ok(false);
        };
        let inner = line[1..].trim_ascii_start();
        Ok(inner.is_empty() || inner.starts_with(b"{") || inner == b"]")
    }

    /// Returns the first object of an array, if the bytes read so far hold all of it.
    pub(super) fn first_of_array(&mut self) -> Result<Option<Map<String, Value>>, DataError> {
        if !self.is_array()? {
            return Ok(None);
        }
        // The first lines hold the object, unless it is very long.
        while self.head.len() < HEAD
            && self
                .rest
                .read_until(b'\n', &mut self.head)
                .is_ok_and(|n| n > 0)
        {}
        let open = self.head.iter().position(|&byte| byte == b'[').unwrap_or(0);
        let mut values = serde_json::Deserializer::from_slice(&self.head[open + 1..]).into_iter();
        Ok(match values.next() {
            Some(Ok(Value::Object(row))) => Some(row),
            _ => None,
        })
    }

    /// Returns the layout that the first line shows. The name of the file decides only if the line
    /// is ambiguous.
    pub(super) fn layout(&mut self) -> Result<Layout, DataError> {
        if self.table.is_some() {
            return Ok(Layout::Rows);
        }
        let named = is_table_name(&self.path);
        let Some((_, line)) = self.line_ahead(1)? else {
            return Err(DataError::Empty {
                path: self.path.clone(),
            });
        };
        if object(line).is_some() {
            return Ok(Layout::Rows);
        }
        for delimiter in [b',', b'\t', b';'] {
            let header = Header::parse(line, delimiter);
            if header.names_answers() {
                return Ok(Layout::Table(delimiter));
            }
            if header.names_candidates() {
                return Ok(Layout::Answers(delimiter));
            }
        }
        let json = line == b"{" || line.starts_with(b"{'");
        if !named || json || self.is_array()? {
            return Ok(Layout::Rows);
        }
        let line = self.line_ahead(1)?.map_or(&b""[..], |(_, line)| line);
        if !line.contains(&b',') && (line.contains(&b'\t') || line.contains(&b';')) {
            let what = described(line);
            return Err(self.format_error(what));
        }
        Ok(Layout::Table(b','))
    }

    /// Checks that rows are JSON lines. `wanted` is the format that the caller named.
    pub(super) fn expect_rows(&mut self, wanted: Format) -> Result<(), DataError> {
        match self.layout()? {
            Layout::Rows => Ok(()),
            Layout::Answers(_) if wanted == Format::Candidates => Ok(()),
            Layout::Table(_) | Layout::Answers(_) => Err(self.format_error(format!(
                "a table, but the format {wanted} has JSON lines: do not name the format"
            ))),
        }
    }

    /// Returns the first line that is a JSON object.
    pub(super) fn first_row(&mut self) -> Result<Map<String, Value>, DataError> {
        if let Some(table) = &self.table {
            return first_of_table(&self.path, table);
        }
        if self.is_array()? {
            return Err(self.array());
        }
        let mut first = None;
        for number in 1..=ROWS_LOOKED_AT {
            let path = self.path.clone();
            let Some((line, bytes)) = self.line_ahead(number)? else {
                break;
            };
            match serde_json::from_slice::<Value>(bytes) {
                Ok(Value::Object(row)) => return Ok(row),
                Ok(_) if first.is_none() => {
                    let what = "not a JSON object: write one object per line".to_owned();
                    first = Some(DataError::Row { path, line, what });
                }
                Err(error) if first.is_none() => {
                    let begun = bytes.starts_with(b"{") && !bytes.starts_with(b"{'");
                    let bytes = bytes.to_owned();
                    let row = |what: String| DataError::Row { path, line, what };
                    first = Some(if std::str::from_utf8(&bytes).is_err() {
                        row("not valid UTF-8: convert the file, for example with iconv".to_owned())
                    } else if begun && error.is_eof() && self.continues(number)? {
                        self.format_error(
                            "one JSON object over several lines: write one object per line, for \
                             instance by `jq -c . FILE`",
                        )
                    } else if begun {
                        row(format!(
                            "not valid JSON at column {} ({}): repair the row",
                            error.column(),
                            kind_of_error(&error)
                        ))
                    } else {
                        self.format_error(described(&bytes))
                    });
                }
                _ => {}
            }
        }
        Err(first.unwrap_or_else(|| DataError::Empty {
            path: self.path.clone(),
        }))
    }

    /// Returns true if the line after line `number` continues an object.
    fn continues(&mut self, number: usize) -> Result<bool, DataError> {
        let next = self.line_ahead(number + 1)?;
        Ok(next.is_some_and(|(_, line)| {
            !line.starts_with(b"{") || line.len() == 1 || line.starts_with(b"}")
        }))
    }

    /// Returns the error for a JSON array.
    pub(super) fn array(&self) -> DataError {
        let command = match self.packed {
            true => "gunzip -c FILE | jq -c '.[]'",
            false => "jq -c '.[]' FILE",
        };
        self.format_error(format!(
            "a JSON array, where JSON lines are expected: write one object per line, for instance by `{command}`"
        ))
    }

    /// Returns the `number`-th non-blank line, counted from 1, with its line number. The line is
    /// not consumed.
    pub(super) fn line_ahead(
        &mut self,
        number: usize,
    ) -> Result<Option<(usize, &[u8])>, DataError> {
        let (mut at, mut line, mut found) = (0, 0, 0);
        loop {
            let end = match self.head[at..].iter().position(|&b| b == self.line_end) {
                Some(length) => at + length,
                None => {
                    let before = self.head.len();
                    let read = self.rest.read_until(self.line_end, &mut self.head);
                    read.map_err(|e| reading(&self.path, line + 1, e))?;
                    if before == self.head.len() && at == before {
                        return Ok(None);
                    }
                    let ended = self.head.last() == Some(&self.line_end);
                    self.head.len() - usize::from(ended && self.head.len() > before)
                }
            };
            line += 1;
            if !self.head[at..end].trim_ascii().is_empty() {
                found += 1;
            }
            if found == number {
                return Ok(Some((line, self.head[at..end].trim_ascii())));
            }
            at = (end + 1).min(self.head.len());
        }
    }

    /// Returns the meaning of the numbers of rows.
    pub(super) fn numbering(&self) -> Numbering {
        let table = self.table.as_ref();
        table.map_or_else(Numbering::default, |table| table.numbering().clone())
    }

    /// Returns the Parquet file, unless the input is text.
    pub(super) fn table(&self) -> Option<&Table> {
        self.table.as_deref()
    }

    /// Reads only the columns with these names from a Parquet file. Returns the names of the other
    /// columns that hold a text.
    pub(super) fn only(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        match &mut self.table {
            Some(table) => table.only(wanted),
            None => Vec::new(),
        }
    }

    /// Returns the rows from the beginning.
    ///
    /// # Errors
    /// Reading fails.
    pub(super) fn into_rows(mut self) -> Result<Rows, DataError> {
        if let Some(table) = &self.table {
            return Ok(Rows::table(table));
        }
        let first = self.line_ahead(1)?;
        let row = first.is_some_and(|(_, line)| line.starts_with(b"{"));
        match row {
            true => Ok(Rows::lines(self.into_lines())),
            false => match self.layout()? {
                Layout::Answers(delimiter) => {
                    let path = self.path.clone();
                    Ok(Rows::cells(AnswerTable::new(
                        path,
                        self.into_lines(),
                        delimiter,
                    )))
                }
                _ => Ok(Rows::lines(self.into_lines())),
            },
        }
    }

    /// Returns the lines from the beginning.
    pub(super) fn into_lines(self) -> Lines {
        let whole = Cursor::new(self.head).chain(self.rest);
        Lines::new(self.path, Box::new(whole), self.line_end)
    }
}

/// Returns true if a file has the first bytes of a Parquet file. Goes back to the beginning.
fn begins_as_parquet(path: &Path, file: &mut File) -> Result<bool, DataError> {
    let mut head = Vec::new();
    let read = file
        .by_ref()
        .take(PARQUET.len() as u64)
        .read_to_end(&mut head);
    read.and_then(|_| file.rewind())
        .map_err(|e| reading(path, 1, e))?;
    Ok(head == PARQUET)
}

/// Returns the first row of a Parquet file that can be read.
fn first_of_table(path: &Path, table: &Table) -> Result<Map<String, Value>, DataError> {
    let mut rows = table.first_rows();
    let mut first = None;
    for _ in 0..ROWS_LOOKED_AT {
        match rows.next_row()? {
            None => break,
            Some((_, Ok(row))) => return Ok(row),
            Some((number, Err(bad))) => {
                let error = table.numbering().row_error(path, number, bad.what);
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| DataError::Empty {
        path: path.to_owned(),
    }))
}

/// Parses a line as a JSON object.
pub(super) fn object(line: &[u8]) -> Option<Map<String, Value>> {
    match line.starts_with(b"{") {
        true => serde_json::from_slice(line).ok(),
        false => None,
    }
}

fn fill(
    path: &Path,
    reader: &mut dyn BufRead,
    head: &mut Vec<u8>,
    most: usize,
) -> Result<(), DataError> {
    let read = reader.take(most as u64).read_to_end(head);
    read.map_err(|e| reading(path, newlines(head) + 1, e))?;
    Ok(())
}
