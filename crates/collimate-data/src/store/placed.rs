//! Reading of bytes at a place of a file, by several threads at once.

use std::fs::File;
use std::io::{self, ErrorKind};

/// A file that is read at given places.
#[derive(Debug)]
pub(super) struct Placed(system::Handle);

impl Placed {
    pub(super) fn new(file: File) -> Self {
        Self(system::Handle::from(file))
    }

    /// Reads at least one byte from byte `at` on, or none at the end of the file.
    pub(super) fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        system::read_at(&self.0, bytes, at)
    }

    /// Fills `bytes` with the content from byte `at` on.
    pub(super) fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        fill(bytes, at, |rest, at| self.read_at(rest, at))
    }
}

/// Calls `read` until `bytes` is full.
fn fill(
    mut bytes: &mut [u8],
    mut at: u64,
    read: impl Fn(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match read(bytes, at) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                bytes = &mut bytes[count..];
                at += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(unix)]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;

    pub(super) type Handle = File;

    pub(super) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        file.read_at(bytes, at)
    }
}

#[cfg(windows)]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::FileExt;

    pub(super) type Handle = File;

    pub(super) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        file.seek_read(bytes, at)
    }
}

#[cfg(not(any(unix, windows)))]
use seek as system;

/// Reading on systems that only know the place of the last reading.
#[cfg(any(test, not(any(unix, windows))))]
mod seek {
    use std::fs::File;
    use std::io::{self, Read, Seek, SeekFrom};
    use std::sync::{Mutex, PoisonError};

    pub(super) type Handle = Mutex<File>;

    pub(super) fn read_at(file: &Mutex<File>, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        // A thread that panicked leaves a place, and every reading sets the place.
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(at))?;
        file.read(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Reads with both ways, the second at most `most` bytes at a time.
    fn both(most: usize, length: usize, at: u64) -> [io::Result<Vec<u8>>; 2] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, (0..100).collect::<Vec<u8>>()).unwrap();
        let mut bytes = vec![0; length];
        let placed = Placed::new(File::open(&path).unwrap());
        let first = placed.read_exact_at(&mut bytes, at).map(|()| bytes);
        let mut bytes = vec![0; length];
        let slow = seek::Handle::from(File::open(&path).unwrap());
        let second = fill(&mut bytes, at, |rest, at| {
            let end = rest.len().min(most);
            seek::read_at(&slow, &mut rest[..end], at)
        });
        [first, second.map(|()| bytes)]
    }

    #[test]
    fn every_place_is_read_whole_whatever_the_system_gives_at_once() {
        for (most, length, at) in [(1, 7, 0), (3, 100, 0), (64, 60, 40), (9, 0, 100)] {
            let expected: Vec<u8> = (at as u8..).take(length).collect();
            for read in both(most, length, at) {
                assert_eq!(read.unwrap(), expected, "{most} {length} {at}");
            }
        }
    }

    #[test]
    fn a_file_that_ends_early_is_an_error() {
        for (length, at) in [(1, 100), (2, 99), (101, 0), (1, 1 << 40)] {
            for read in both(8, length, at) {
                assert_eq!(read.unwrap_err().kind(), ErrorKind::UnexpectedEof);
            }
        }
    }
}
