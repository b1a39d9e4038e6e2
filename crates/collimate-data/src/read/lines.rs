//! Lines of an input, and the errors of reading.

use std::io::{BufRead, ErrorKind};
use std::path::{Path, PathBuf};

use super::expansion::MOST_RATIO;
use crate::error::DataError;

/// The lines of an input, one at a time.
pub(super) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    line: usize,
    line_end: u8,
}

impl Lines {
    /// Reads lines that end with the byte `line_end`.
    pub(super) fn new(path: PathBuf, reader: Box<dyn BufRead>, line_end: u8) -> Self {
        Self {
            path,
            reader,
            line: 0,
            line_end,
        }
    }

    /// Returns the next line without its line end, blank or not, with its number from 1.
    ///
    /// # Errors
    /// A read fails.
    pub(super) fn any_line(&mut self) -> Result<Option<(usize, Vec<u8>)>, DataError> {
        let mut line = Vec::new();
        self.reader
            .read_until(self.line_end, &mut line)
            .map_err(|e| reading(&self.path, self.line + 1, e))?;
        if line.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        if line.last() == Some(&self.line_end) {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some((self.line, line)))
    }

    /// Returns the next line that is not blank.
    ///
    /// # Errors
    /// A read fails.
    pub(super) fn next_line(&mut self) -> Result<Option<(usize, Vec<u8>)>, DataError> {
        loop {
            match self.any_line()? {
                Some((_, line)) if line.trim_ascii().is_empty() => {}
                found => return Ok(found),
            }
        }
    }
}

/// Counts the ends of lines.
pub(super) fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// Returns the error of a read that failed near `line`.
pub(super) fn reading(path: &Path, line: usize, source: std::io::Error) -> DataError {
    let what = match source.kind() {
        ErrorKind::UnexpectedEof => {
            format!("the compressed data end early, near line {line}: fetch the file again")
        }
        ErrorKind::InvalidInput | ErrorKind::InvalidData => {
            format!("damaged gzip data, near line {line}: fetch the file again")
        }
        ErrorKind::QuotaExceeded => format!(
            "gzip data that unpack to more than {MOST_RATIO} times their size, near line {line}: \
             check the file, and unpack it yourself if it is right"
        ),
        _ => format!("reading stopped near line {line}"),
    };
    io(path, &what, source)
}

/// Returns the error of an operation on a file.
pub(super) fn io(path: &Path, what: &str, source: std::io::Error) -> DataError {
    DataError::Io {
        path: path.to_owned(),
        what: what.to_owned(),
        source,
    }
}
