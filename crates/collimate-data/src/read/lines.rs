//! Lines of a plain or gzip file, one at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::error::DataError;

const BOM: &[u8] = b"\xef\xbb\xbf";
const BUFFER: usize = 1 << 16;

/// Whether a name ends in `.csv` or `.csv.gz`.
pub(crate) fn is_csv(path: &Path) -> bool {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    name.trim_end_matches(".gz").ends_with(".csv")
}

fn is_gz(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("gz"))
}

/// Opens a file, decompressing a `.gz` and skipping a byte order mark.
///
/// # Errors
/// A file that is missing, a folder, empty (also: a byte order mark or an empty gzip stream alone).
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>, DataError> {
    let file = File::open(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => DataError::Missing {
            path: path.to_owned(),
        },
        _ => io(path, "cannot be opened", source),
    })?;
    let is_dir = file
        .metadata()
        .map_err(|e| io(path, "cannot be examined", e))?
        .is_dir();
    if is_dir {
        return Err(DataError::Format {
            path: path.to_owned(),
            what: "a folder, not a file: name a file in it".to_owned(),
        });
    }
    let plain = BufReader::with_capacity(BUFFER, file);
    let mut reader: Box<dyn BufRead> = if is_gz(path) {
        let mut plain = plain;
        let empty = plain
            .fill_buf()
            .map_err(|e| reading(path, 1, e))?
            .is_empty();
        if empty {
            return Err(DataError::Empty {
                path: path.to_owned(),
            });
        }
        Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(plain)))
    } else {
        Box::new(plain)
    };
    // Three bytes are taken one by one: a decoder may hand out fewer than three at first.
    let mut head = Vec::with_capacity(BOM.len());
    reader
        .by_ref()
        .take(BOM.len() as u64)
        .read_to_end(&mut head)
        .map_err(|e| reading(path, 1, e))?;
    if head.is_empty()
        || head == BOM
            && reader
                .fill_buf()
                .map_err(|e| reading(path, 1, e))?
                .is_empty()
    {
        return Err(DataError::Empty {
            path: path.to_owned(),
        });
    }
    if head == BOM {
        head.clear();
    }
    Ok(Box::new(std::io::Cursor::new(head).chain(reader)))
}

/// The error of a read that failed near `line`.
pub(crate) fn reading(path: &Path, line: usize, source: std::io::Error) -> DataError {
    let what = match source.kind() {
        ErrorKind::UnexpectedEof => {
            format!("the compressed data end early, near line {line}: fetch the file again")
        }
        ErrorKind::InvalidInput | ErrorKind::InvalidData => {
            format!(
                "not valid gzip data, near line {line}: fetch the file again, or drop `.gz` from its name"
            )
        }
        _ => format!("reading stopped near line {line}"),
    };
    io(path, &what, source)
}

fn io(path: &Path, what: &str, source: std::io::Error) -> DataError {
    DataError::Io {
        path: path.to_owned(),
        what: what.to_owned(),
        source,
    }
}

/// The lines of a file that are not blank, without their line ends.
pub(crate) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    buffer: Vec<u8>,
    line: usize,
    any: bool,
    json: bool,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        Ok(Self {
            path: path.to_owned(),
            reader: open(path)?,
            buffer: Vec::new(),
            line: 0,
            any: false,
            json: false,
        })
    }

    /// Opens a file that has one JSON object per line; its first line must not begin an array.
    pub(crate) fn json(path: &Path) -> Result<Self, DataError> {
        Ok(Self {
            json: true,
            ..Self::open(path)?
        })
    }

    /// The next line that is not blank, with its number from 1.
    ///
    /// # Errors
    /// A failed read, a file with nothing but blank lines, or an array where JSON lines are expected.
    pub(crate) fn next_line(&mut self) -> Result<Option<(usize, &[u8])>, DataError> {
        loop {
            self.buffer.clear();
            let read = self
                .reader
                .read_until(b'\n', &mut self.buffer)
                .map_err(|e| reading(&self.path, self.line + 1, e))?;
            if read == 0 {
                if !self.any {
                    return Err(DataError::Empty {
                        path: self.path.clone(),
                    });
                }
                return Ok(None);
            }
            self.line += 1;
            if self.json && !self.any && self.buffer.trim_ascii_start().starts_with(b"[") {
                return Err(array(&self.path));
            }
            if !self.buffer.trim_ascii().is_empty() {
                self.any = true;
                return Ok(Some((self.line, self.buffer.trim_ascii())));
            }
        }
    }
}

fn array(path: &Path) -> DataError {
    let command = if is_gz(path) {
        "gunzip -c FILE | jq -c '.[]'"
    } else {
        "jq -c '.[]' FILE"
    };
    DataError::Format {
        path: path.to_owned(),
        what: format!(
            "a JSON array, where JSON lines are expected: write one object per line, for instance by `{command}`"
        ),
    }
}
