//! Bytes of a Parquet file, with a limit for pages that expand absurdly.

use std::fs::File;
use std::io::{BufReader, Error, ErrorKind, Read};

use bytes::Bytes;
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};

use crate::read::expansion::{MOST_RATIO, MOST_UNPACKED};

/// A file whose pages are inspected before they are unpacked.
pub(super) struct Chunks(pub(super) File);

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let mut reader = self.0.get_read(start)?;
        // The library asks for a reader where the header of a page begins.
        let mut head = [0; 24];
        let mut read = 0;
        while read < head.len() {
            match reader.read(&mut head[read..])? {
                0 => break,
                more => read += more,
            }
        }
        if let Some((unpacked, packed)) = sizes(&head[..read])
            && unpacked > MOST_UNPACKED
            && unpacked / MOST_RATIO > packed
        {
            let what = format!(
                "a page of {packed} bytes unpacks to {unpacked} bytes, more than {MOST_RATIO} \
                 times its size"
            );
            return Err(Error::new(ErrorKind::InvalidData, what).into());
        }
        reader.seek_relative(-(read as i64))?;
        Ok(reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.0.get_bytes(start, length)
    }
}

/// Returns the sizes in the header of a page, unpacked and packed. The first three fields of a
/// header are numbers: the kind of the page and the two sizes.
fn sizes(mut head: &[u8]) -> Option<(u64, u64)> {
    let mut number = || {
        let (kind, rest) = head.split_first()?;
        // A field whose number is one more than the last one, of type i32.
        if *kind != 0x15 {
            return None;
        }
        head = rest;
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let (byte, rest) = head.split_first()?;
            head = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                // Sizes below zero are refused by the library.
                return (value & 1 == 0).then_some(value >> 1);
            }
        }
        None
    };
    let kind = number()?;
    let (unpacked, packed) = (number()?, number()?);
    (kind <= 3).then_some((unpacked, packed))
}
