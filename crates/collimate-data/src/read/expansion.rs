//! Limit for packed data that expand absurdly.

use std::io::{BufRead, Error, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;

/// Number of unpacked bytes that is always allowed.
pub(super) const MOST_UNPACKED: u64 = 64 << 20;

/// Largest ratio of unpacked to packed bytes beyond [`MOST_UNPACKED`]. Texts have ratios up to 20.
pub(super) const MOST_RATIO: u64 = 200;

/// Words of the error for data that expand absurdly.
pub(super) const EXPANDS: &str = "the data expand absurdly";

/// Unpacks gzip data and counts the bytes on both sides.
pub(super) struct Expansion<R> {
    unpacked: MultiGzDecoder<Counted<R>>,
    bytes: u64,
}

impl<R: BufRead> Expansion<R> {
    pub(super) fn of(packed: R) -> Self {
        let packed = Counted {
            inner: packed,
            bytes: 0,
        };
        Self {
            unpacked: MultiGzDecoder::new(packed),
            bytes: 0,
        }
    }
}

impl<R: BufRead> Read for Expansion<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.unpacked.read(into)?;
        self.bytes += read as u64;
        let packed = self.unpacked.get_ref().bytes;
        match self.bytes > MOST_UNPACKED && self.bytes / MOST_RATIO > packed {
            true => Err(Error::new(ErrorKind::QuotaExceeded, EXPANDS)),
            false => Ok(read),
        }
    }
}

/// Counts the bytes that were read.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(into)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.bytes += count as u64;
        self.inner.consume(count);
    }
}
