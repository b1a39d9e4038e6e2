//! Reading of numbers, texts and lists, each checked against the length of the file first.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use super::value::{ARRAY, MetadataArray, MetadataValue, STRING, least_bytes};
use crate::GgufError;

/// Greatest depth of lists in lists.
const MOST_DEPTH: usize = 8;

/// A file and the position in the file.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    path: &'a Path,
    file: BufReader<File>,
    length: u64,
    at: u64,
}

/// Reads a list of numbers that was checked against the length of the file.
macro_rules! list {
    ($source:expr, $count:expr, $what:expr, $kind:ty) => {{
        let mut list = Vec::with_capacity($count);
        for _ in 0..$count {
            list.push(<$kind>::from_le_bytes($source.bytes($what)?));
        }
        list
    }};
}

impl<'a> Source<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, GgufError> {
        let file = File::open(path).map_err(GgufError::io(path))?;
        let length = file.metadata().map_err(GgufError::io(path))?.len();
        Ok(Self {
            path,
            file: BufReader::new(file),
            length,
            at: 0,
        })
    }

    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// Returns an error if `count` values of at least `each` bytes do not fit into the rest.
    pub(crate) fn check(&self, what: &str, count: u64, each: u64) -> Result<(), GgufError> {
        let needs = u128::from(count) * u128::from(each) + u128::from(self.at);
        match needs > u128::from(self.length) {
            true => Err(self.truncated(what, needs)),
            false => Ok(()),
        }
    }

    fn truncated(&self, what: &str, needs: u128) -> GgufError {
        GgufError::Truncated {
            path: self.path.to_owned(),
            what: what.to_owned(),
            needs,
            has: self.length,
        }
    }

    fn fill(&mut self, what: &str, buffer: &mut [u8]) -> Result<(), GgufError> {
        self.check(what, buffer.len() as u64, 1)?;
        self.file.read_exact(buffer).map_err(|error| {
            // The file has become shorter since the file was opened.
            match error.kind() {
                ErrorKind::UnexpectedEof => {
                    self.truncated(what, u128::from(self.at) + buffer.len() as u128)
                }
                _ => GgufError::io(self.path)(error),
            }
        })?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    pub(crate) fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        self.bytes(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        self.bytes(what).map(u64::from_le_bytes)
    }

    pub(crate) fn string(&mut self, what: &str) -> Result<String, GgufError> {
        let length = self.u64(what)?;
        self.check(what, length, 1)?;
        let mut bytes = vec![0; self.fits(length, what)?];
        self.fill(what, &mut bytes)?;
        String::from_utf8(bytes)
            .map_err(|_| GgufError::damaged(self.path, format!("{what} is not UTF-8")))
    }

    pub(crate) fn value(&mut self, what: &str) -> Result<MetadataValue, GgufError> {
        let code = self.u32(what)?;
        Ok(match code {
            0 => MetadataValue::U8(u8::from_le_bytes(self.bytes(what)?)),
            1 => MetadataValue::I8(i8::from_le_bytes(self.bytes(what)?)),
            2 => MetadataValue::U16(u16::from_le_bytes(self.bytes(what)?)),
            3 => MetadataValue::I16(i16::from_le_bytes(self.bytes(what)?)),
            4 => MetadataValue::U32(self.u32(what)?),
            5 => MetadataValue::I32(i32::from_le_bytes(self.bytes(what)?)),
            6 => MetadataValue::F32(f32::from_le_bytes(self.bytes(what)?)),
            7 => MetadataValue::Bool(self.truth(what)?),
            STRING => MetadataValue::String(self.string(what)?),
            ARRAY => MetadataValue::Array(self.array(what, 1)?),
            10 => MetadataValue::U64(self.u64(what)?),
            11 => MetadataValue::I64(i64::from_le_bytes(self.bytes(what)?)),
            12 => MetadataValue::F64(f64::from_le_bytes(self.bytes(what)?)),
            _ => return Err(self.unknown(code, what)),
        })
    }

    fn array(&mut self, what: &str, depth: usize) -> Result<MetadataArray, GgufError> {
        if depth > MOST_DEPTH {
            let message = format!("{what} has lists in lists deeper than {MOST_DEPTH} levels");
            return Err(GgufError::damaged(self.path, message));
        }
        let code = self.u32(what)?;
        let count = self.u64(what)?;
        let each = least_bytes(code).ok_or_else(|| self.unknown(code, what))?;
        self.check(what, count, each)?;
        let count = self.fits(count, what)?;
        Ok(match code {
            0 => MetadataArray::U8(list!(self, count, what, u8)),
            1 => MetadataArray::I8(list!(self, count, what, i8)),
            2 => MetadataArray::U16(list!(self, count, what, u16)),
            3 => MetadataArray::I16(list!(self, count, what, i16)),
            4 => MetadataArray::U32(list!(self, count, what, u32)),
            5 => MetadataArray::I32(list!(self, count, what, i32)),
            6 => MetadataArray::F32(list!(self, count, what, f32)),
            7 => MetadataArray::Bool(
                (0..count)
                    .map(|_| self.truth(what))
                    .collect::<Result<_, _>>()?,
            ),
            STRING => MetadataArray::String(
                (0..count)
                    .map(|_| self.string(what))
                    .collect::<Result<_, _>>()?,
            ),
            ARRAY => {
                let lists = (0..count).map(|_| self.array(what, depth + 1));
                MetadataArray::Array(lists.collect::<Result<_, _>>()?)
            }
            10 => MetadataArray::U64(list!(self, count, what, u64)),
            11 => MetadataArray::I64(list!(self, count, what, i64)),
            _ => MetadataArray::F64(list!(self, count, what, f64)),
        })
    }

    fn truth(&mut self, what: &str) -> Result<bool, GgufError> {
        match self.bytes(what)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => Err(GgufError::damaged(
                self.path,
                format!("{what} is {byte} but must be 0 or 1"),
            )),
        }
    }

    fn unknown(&self, code: u32, what: &str) -> GgufError {
        GgufError::damaged(self.path, format!("{what} has the unknown type {code}"))
    }

    /// Converts a count that [`Source::check`] has compared with the length of the file.
    fn fits(&self, count: u64, what: &str) -> Result<usize, GgufError> {
        count
            .try_into()
            .map_err(|_| GgufError::unsupported(self.path, format!("{what} exceeds this machine")))
    }
}
