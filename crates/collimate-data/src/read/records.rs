//! Records of a table, each with the line where it begins.

use std::collections::VecDeque;

use csv::{ByteRecord, ReaderBuilder, Terminator};

use super::Bad;
use super::lines::Lines;
use crate::error::DataError;

/// Number of lines of one quoted field after which an open quote counts as forgotten, if the lines
/// look like records.
const LOOKED_AT: usize = 100;

/// Largest number of lines of a quoted field.
const LONGEST_CELL: usize = 10_000;

/// A record, or the reason why its row cannot be read, with the first line of the record.
pub(super) type Numbered = (usize, Result<ByteRecord, Bad>);

/// Splits lines into records. Quotes are tracked line by line, so an unclosed quote spoils only its
/// own row.
pub(super) struct Records {
    lines: Lines,
    /// Lines read already, which are read again as separate records.
    again: VecDeque<(usize, Vec<u8>)>,
    delimiter: u8,
    /// Number of columns of a record; 0 until known.
    pub(super) columns: usize,
    /// If true, a blank follows each separator.
    pub(super) spaced: bool,
}

/// State of the scan inside a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a field, possibly after blanks.
    Start { blank: bool },
    /// In a field without quotes.
    Plain,
    /// Between quotes.
    Quoted,
    /// After a quote that either ends a field or is the first of two.
    Closed { blank: bool },
}

impl Records {
    pub(super) fn new(lines: Lines, delimiter: u8) -> Self {
        Self {
            lines,
            again: VecDeque::new(),
            delimiter,
            columns: 0,
            spaced: false,
        }
    }

    fn line(&mut self) -> Result<Option<(usize, Vec<u8>)>, DataError> {
        match self.again.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.lines.any_line(),
        }
    }

    /// Returns the next non-blank record with its line. If the record is malformed, returns the
    /// reason and the line to look at.
    pub(super) fn next(&mut self) -> Result<Option<Numbered>, DataError> {
        let (start, first) = loop {
            match self.line()? {
                None => return Ok(None),
                Some((_, line)) if line.trim_ascii().is_empty() => {}
                Some(found) => break found,
            }
        };
        let mut lines = vec![first];
        let mut state = State::Start { blank: false };
        // The line in which the last quote was opened, counted from the first line.
        let mut opened = 0;
        // Number of lines since that quote that would each be a record.
        let (mut rows, mut rows_from) = (0, 0);
        loop {
            let now = lines.len() - 1;
            let wrong = self.scan(&lines[now], &mut state, &mut opened, now);
            if let Some(what) = wrong {
                if opened < now && matches!(state, State::Closed { .. }) {
                    let end = start + now;
                    let what =
                        format!("a quote that is closed only in line {end}, before other text");
                    return Ok(Some(self.malformed(start, lines, opened, what)));
                }
                return Ok(Some(self.malformed(start, lines, now, what.to_owned())));
            }
            if state != State::Quoted {
                break;
            }
            if opened != rows_from {
                (rows, rows_from) = (0, opened);
            }
            rows += self.rows_in(&lines[now..], self.columns_of(&lines[opened]));
            let since = lines.len() - opened;
            if since >= LOOKED_AT && rows * 2 > since {
                let what = format!(
                    "a quote that is not closed in {LOOKED_AT} lines, which look like rows of their own"
                );
                return Ok(Some(self.malformed(start, lines, opened, what)));
            }
            if since >= LONGEST_CELL {
                let what = format!("a quote that is not closed in {LONGEST_CELL} lines");
                return Ok(Some(self.malformed(start, lines, opened, what)));
            }
            let Some((_, line)) = self.line()? else {
                let what = "a quote that is never closed".to_owned();
                return Ok(Some(self.malformed(start, lines, opened, what)));
            };
            lines.push(line);
        }
        if lines.len() > 1 {
            let rows = self.rows_in(&lines, self.columns_of(&lines[0]));
            if rows == lines.len() || rows >= 3 && rows * 2 > lines.len() {
                let what = format!(
                    "a quote that is closed only in line {}, after lines that look like rows of their own",
                    start + lines.len() - 1
                );
                return Ok(Some(self.malformed(start, lines, opened, what)));
            }
        }
        Ok(Some((start, self.parse(&lines.join(&b'\n')))))
    }

    /// Puts back the lines after the line with the open quote.
    fn malformed(
        &mut self,
        start: usize,
        lines: Vec<Vec<u8>>,
        opened: usize,
        what: String,
    ) -> (usize, Result<ByteRecord, Bad>) {
        for (index, line) in lines.into_iter().enumerate().skip(opened + 1).rev() {
            self.again.push_front((start + index, line));
        }
        (start + opened, Err(Bad::malformed(what)))
    }

    /// Scans a line and returns the problem with its quotes, if any.
    fn scan(
        &self,
        line: &[u8],
        state: &mut State,
        opened: &mut usize,
        now: usize,
    ) -> Option<&'static str> {
        for &byte in line {
            let blank = byte == b' ' || byte == b'\t';
            *state = match *state {
                State::Quoted if byte == b'"' => State::Closed { blank: false },
                State::Quoted => State::Quoted,
                _ if byte == self.delimiter => State::Start { blank: false },
                State::Start { blank: true } if byte == b'"' => {
                    return Some(
                        "a blank before a quote: put the quote directly after the separator",
                    );
                }
                State::Start { .. } if byte == b'"' => {
                    *opened = now;
                    State::Quoted
                }
                State::Start { .. } if blank => State::Start { blank: true },
                State::Closed { blank: false } if byte == b'"' => State::Quoted,
                State::Closed { .. } if blank => State::Closed { blank: true },
                State::Closed { .. } => {
                    return Some("text behind a closing quote: double each quote inside a text");
                }
                State::Start { .. } | State::Plain => State::Plain,
            };
        }
        None
    }

    /// Returns the number of columns of a record. Until that is known, counts the columns of the
    /// line that opened the quote.
    fn columns_of(&self, line: &[u8]) -> usize {
        match self.columns {
            0 => line.split(|&byte| byte == self.delimiter).count(),
            columns => columns,
        }
    }

    /// Counts the lines that would each be a record if there were no open quote.
    fn rows_in(&self, lines: &[Vec<u8>], columns: usize) -> usize {
        let is_row = |line: &&Vec<u8>| {
            let fields: Vec<&[u8]> = line.split(|&byte| byte == self.delimiter).collect();
            let spaced = |field: &&[u8]| field.first().is_some_and(u8::is_ascii_whitespace);
            fields.len() == columns
                && columns > 1
                && (self.spaced || !fields[1..].iter().any(spaced))
        };
        lines.iter().filter(is_row).count()
    }

    fn parse(&self, bytes: &[u8]) -> Result<ByteRecord, Bad> {
        if bytes.contains(&0) {
            return Err(Bad::malformed("a NUL byte in the row"));
        }
        parse(bytes, self.delimiter)
    }
}

/// Parses the fields of one record.
pub(super) fn parse(bytes: &[u8], delimiter: u8) -> Result<ByteRecord, Bad> {
    let mut record = ByteRecord::new();
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .terminator(Terminator::Any(b'\n'))
        .buffer_capacity(bytes.len().clamp(64, 1 << 16))
        .from_reader(bytes)
        .read_byte_record(&mut record)
        .map_err(|error| Bad::malformed(error.to_string()))?;
    Ok(record)
}
