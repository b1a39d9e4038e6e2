//! The footer of a Parquet file, checked before the library parses the footer.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Deepest nesting of columns that is read. The library descends without a limit.
const DEEPEST: usize = 64;

/// Bytes after the footer: its length and the magic number.
const TAIL: u64 = 8;

/// Field of the file's metadata that an encrypted file with a readable footer has.
const ENCRYPTION: i64 = 8;

/// Field of the file's metadata that lists the columns.
const SCHEMA: i64 = 2;

/// Field of an entry of the schema that counts the columns inside the entry.
const CHILDREN: i64 = 5;

// Types of values in Thrift's compact protocol.
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Reads the footer.
///
/// # Errors
/// Says why there is no footer, or why this crate does not read the file.
pub(super) fn read(file: &mut File) -> Result<Vec<u8>, String> {
    let ended =
        || "a Parquet file whose end is missing or damaged: fetch the file again".to_owned();
    let failed = |error: std::io::Error| format!("reading failed: {error}");
    let length = file.metadata().map_err(failed)?.len();
    let before = length.checked_sub(TAIL).ok_or_else(ended)?;
    let mut tail = [0; TAIL as usize];
    file.seek(SeekFrom::Start(before)).map_err(failed)?;
    file.read_exact(&mut tail).map_err(failed)?;
    let [a, b, c, d, magic @ ..] = tail;
    match &magic {
        b"PAR1" => {}
        b"PARE" => return Err(encrypted()),
        _ => return Err(ended()),
    }
    let size = u64::from(u32::from_le_bytes([a, b, c, d]));
    let start = before.checked_sub(size).ok_or_else(ended)?;
    let size = usize::try_from(size).map_err(|_| ended())?;
    let mut footer = vec![0; size];
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    file.read_exact(&mut footer).map_err(failed)?;
    let mut walk = Walk {
        bytes: &footer,
        at: 0,
    };
    walk.metadata().map_err(|stop| match stop {
        Stop::Ended => ended(),
        Stop::Encrypted => encrypted(),
        Stop::Deep => format!(
            "a Parquet file whose columns are nested more than {DEEPEST} deep: flatten the columns"
        ),
    })?;
    Ok(footer)
}

fn encrypted() -> String {
    "an encrypted Parquet file: decrypt it first, for instance with pyarrow".to_owned()
}

/// Reason why a footer is not passed on.
enum Stop {
    /// The bytes are no metadata.
    Ended,
    Encrypted,
    Deep,
}

/// Walks over values of Thrift's compact protocol.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    /// Walks over the metadata of a file and checks the nesting of columns.
    fn metadata(&mut self) -> Result<(), Stop> {
        let mut last = 0;
        while let Some((id, kind)) = self.field(&mut last)? {
            match id {
                SCHEMA if kind == LIST => self.schema()?,
                ENCRYPTION => return Err(Stop::Encrypted),
                _ => self.skip(kind, DEEPEST)?,
            }
        }
        Ok(())
    }

    /// Walks over the list of columns. Each entry is followed by the entries inside it.
    fn schema(&mut self) -> Result<(), Stop> {
        let (kind, count) = self.list()?;
        if kind != STRUCT {
            return Err(Stop::Ended);
        }
        // Number of entries that are still to come in each open group.
        let mut open: Vec<u64> = Vec::new();
        for _ in 0..count {
            let (mut last, mut children) = (0, 0);
            while let Some((id, kind)) = self.field(&mut last)? {
                match id {
                    CHILDREN => children = self.number()?,
                    _ => self.skip(kind, DEEPEST)?,
                }
            }
            if let Some(left) = open.last_mut() {
                *left = left.saturating_sub(1);
            }
            // The library reserves memory for this number of columns.
            match u64::try_from(children) {
                Ok(0) => {}
                Ok(inside) if inside < count => open.push(inside),
                _ => return Err(Stop::Ended),
            }
            while open.last() == Some(&0) {
                open.pop();
            }
            if open.len() > DEEPEST {
                return Err(Stop::Deep);
            }
        }
        Ok(())
    }

    /// Returns number and type of the next field of a struct, or `None` at the end of the struct.
    fn field(&mut self, last: &mut i64) -> Result<Option<(i64, u8)>, Stop> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        *last = match head >> 4 {
            0 => self.number()?,
            step => last.saturating_add(i64::from(step)),
        };
        Ok(Some((*last, head & 15)))
    }

    /// Returns type and number of the elements of a list.
    fn list(&mut self) -> Result<(u8, u64), Stop> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        // Each element has at least one byte.
        match count <= (self.bytes.len() - self.at) as u64 {
            true => Ok((head & 15, count)),
            false => Err(Stop::Ended),
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), Stop> {
        let depth = depth.checked_sub(1).ok_or(Stop::Ended)?;
        match kind {
            // The type of a field says whether a truth value is true.
            1 | 2 => Ok(()),
            3 => self.pass(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.pass(8),
            BINARY => {
                let length = self.varint()?;
                self.pass(length)
            }
            LIST | SET => {
                let (kind, count) = self.list()?;
                for _ in 0..count {
                    self.element(kind, depth)?;
                }
                Ok(())
            }
            MAP => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                for _ in 0..count {
                    self.element(kinds >> 4, depth)?;
                    self.element(kinds & 15, depth)?;
                }
                Ok(())
            }
            STRUCT => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip(kind, depth)?;
                }
                Ok(())
            }
            _ => Err(Stop::Ended),
        }
    }

    /// Skips an element of a list, where a truth value has a byte of its own.
    fn element(&mut self, kind: u8, depth: usize) -> Result<(), Stop> {
        match kind {
            1 | 2 => self.pass(1),
            kind => self.skip(kind, depth),
        }
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = self.bytes.get(self.at).copied().ok_or(Stop::Ended)?;
        self.at += 1;
        Ok(byte)
    }

    fn pass(&mut self, count: u64) -> Result<(), Stop> {
        let left = self.bytes.len() - self.at;
        let count = usize::try_from(count).map_err(|_| Stop::Ended)?;
        if count > left {
            return Err(Stop::Ended);
        }
        self.at += count;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Stop> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Stop::Ended)
    }

    /// Returns a signed number.
    fn number(&mut self) -> Result<i64, Stop> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}
