//! Facts about repeated rows in constant memory: digests are sorted in parts, on disk if there are
//! many.

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

/// Returns a digest of a key. Two different keys practically never have the same digest.
pub(super) fn digest(key: &impl Hash) -> u128 {
    let mut hasher = Digest(blake3::Hasher::new());
    key.hash(&mut hasher);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.0.finalize().as_bytes()[..16]);
    u128::from_be_bytes(bytes)
}

struct Digest(blake3::Hasher);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// The digest of a row, with the place of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) digest: u128,
    /// Number of the row among all rows, from 0.
    pub(super) index: u64,
    /// Line of the row.
    pub(super) line: u64,
    /// True for the second of two orders of the answers.
    pub(super) turned: bool,
}

/// Length of a record in bytes.
const RECORD: usize = 32;
/// Number of parts. A digest belongs to the part that the leading bits name.
const PARTS: usize = 1024;
const PART_BITS: u32 = PARTS.trailing_zeros();
/// Number of records that are kept in memory.
const IN_MEMORY: usize = 1 << 15;
/// Number of bytes of a part that are written at once.
const BLOCK: usize = RECORD << 6;

impl Record {
    fn part(&self) -> usize {
        (self.digest >> (u128::BITS - PART_BITS)) as usize
    }

    fn to_bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..16].copy_from_slice(&self.digest.to_le_bytes());
        let index = self.index << 1 | u64::from(self.turned);
        bytes[16..24].copy_from_slice(&index.to_le_bytes());
        bytes[24..].copy_from_slice(&self.line.to_le_bytes());
        bytes
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let word = |from: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[from..from + 8]);
            u64::from_le_bytes(word)
        };
        Self {
            digest: u128::from(word(0)) | u128::from(word(8)) << 64,
            index: word(16) >> 1,
            line: word(24),
            turned: word(16) & 1 == 1,
        }
    }
}

/// Records of any number of rows.
#[derive(Debug, Default)]
pub(super) struct Spill {
    memory: Vec<Record>,
    disk: Option<Disk>,
}

/// Records in a temporary file, in blocks of one part each.
#[derive(Debug)]
struct Disk {
    file: File,
    /// Records of each part that are not written yet.
    open: Vec<Vec<u8>>,
    /// Number of the part of each block that is written.
    blocks: Vec<u16>,
}

impl Spill {
    /// Adds a record.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub(super) fn push(&mut self, record: Record) -> io::Result<()> {
        if let Some(disk) = &mut self.disk {
            return disk.push(record);
        }
        self.memory.push(record);
        if self.memory.len() < IN_MEMORY {
            return Ok(());
        }
        let mut disk = Disk {
            file: tempfile::tempfile()?,
            open: vec![Vec::new(); PARTS],
            blocks: Vec::new(),
        };
        for record in std::mem::take(&mut self.memory) {
            disk.push(record)?;
        }
        self.disk = Some(disk);
        Ok(())
    }

    /// Passes all records on, sorted by digest and index, in several calls. Records with the same
    /// digest come in the same call.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub(super) fn sorted(mut self, mut take: impl FnMut(&[Record])) -> io::Result<()> {
        let Some(mut disk) = self.disk else {
            self.memory.sort_unstable();
            take(&self.memory);
            return Ok(());
        };
        let mut records = Vec::new();
        for part in 0..PARTS {
            records.clear();
            disk.read(part, &mut records)?;
            records.sort_unstable();
            take(&records);
        }
        Ok(())
    }
}

impl Disk {
    fn push(&mut self, record: Record) -> io::Result<()> {
        let part = record.part();
        let open = &mut self.open[part];
        open.extend_from_slice(&record.to_bytes());
        if open.len() == BLOCK {
            self.file.write_all(open)?;
            open.clear();
            self.blocks.push(part as u16);
        }
        Ok(())
    }

    fn read(&mut self, part: usize, records: &mut Vec<Record>) -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        let here = self.blocks.iter().enumerate();
        for (index, _) in here.filter(|(_, of)| usize::from(**of) == part) {
            self.file.seek(SeekFrom::Start((index * BLOCK) as u64))?;
            self.file.read_exact(&mut block)?;
            records.extend(block.chunks_exact(RECORD).map(Record::of_bytes));
        }
        let open = std::mem::take(&mut self.open[part]);
        records.extend(open.chunks_exact(RECORD).map(Record::of_bytes));
        Ok(())
    }
}

/// Different digests in rising order, in memory or in a temporary file.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    memory: Vec<u128>,
    file: Option<File>,
}

impl Distinct {
    /// Adds the digests of sorted records.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub(super) fn extend(&mut self, sorted: &[Record]) -> io::Result<()> {
        let different = sorted.chunk_by(|a, b| a.digest == b.digest);
        self.memory.extend(different.map(|same| same[0].digest));
        match self.memory.len() > IN_MEMORY {
            true => self.write(),
            false => Ok(()),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        let bytes: Vec<u8> = self.memory.drain(..).flat_map(u128::to_le_bytes).collect();
        file.write_all(&bytes)
    }

    /// Returns the number of digests that both have.
    ///
    /// # Errors
    /// A temporary file cannot be read.
    pub(super) fn shared(&self, other: &Self) -> io::Result<usize> {
        let (mut left, mut right) = (self.digests()?, other.digests()?);
        let (mut a, mut b) = (next(&mut left)?, next(&mut right)?);
        let mut shared = 0;
        while let Some((x, y)) = a.zip(b) {
            shared += usize::from(x == y);
            if x <= y {
                a = next(&mut left)?;
            }
            if y <= x {
                b = next(&mut right)?;
            }
        }
        Ok(shared)
    }

    fn digests(&self) -> io::Result<Box<dyn Read + '_>> {
        let rest: Vec<u8> = self.memory.iter().flat_map(|d| d.to_le_bytes()).collect();
        let rest = io::Cursor::new(rest);
        let Some(mut file) = self.file.as_ref() else {
            return Ok(Box::new(rest));
        };
        file.seek(SeekFrom::Start(0))?;
        Ok(Box::new(BufReader::new(file).chain(rest)))
    }
}

fn next(from: &mut dyn Read) -> io::Result<Option<u128>> {
    let mut bytes = [0; 16];
    match from.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u128::from_le_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn records(count: u64, different: u64) -> Vec<Record> {
        (0..count)
            .map(|index| Record {
                digest: digest(&(index * 7919 % different)),
                index,
                line: index + 1,
                turned: index % 3 == 0,
            })
            .collect()
    }

    fn sorted(records: &[Record]) -> (Vec<Record>, Distinct) {
        let (mut spill, mut all) = (Spill::default(), Vec::new());
        let mut distinct = Distinct::default();
        for record in records {
            spill.push(*record).unwrap();
        }
        spill
            .sorted(|part| {
                all.extend_from_slice(part);
                distinct.extend(part).unwrap();
            })
            .unwrap();
        (all, distinct)
    }

    #[test]
    fn records_come_back_sorted_from_memory_and_from_disk() {
        for count in [0, 1, 1000, IN_MEMORY as u64 - 1, 3 * IN_MEMORY as u64 + 5] {
            let records = records(count, 1 + count / 2);
            let mut expected = records.clone();
            expected.sort_unstable();
            assert_eq!(sorted(&records).0, expected, "{count}");
        }
    }

    #[test]
    fn shared_digests_are_counted_in_memory_and_on_disk() {
        for (a, b) in [(10, 7), (10, 200_000), (150_000, 200_000)] {
            let (left, right) = (records(a, a), records(b, b));
            let set = |records: &[Record]| -> BTreeSet<u128> {
                records.iter().map(|record| record.digest).collect()
            };
            let expected = set(&left).intersection(&set(&right)).count();
            let (left, right) = (sorted(&left).1, sorted(&right).1);
            assert_eq!(left.shared(&right).unwrap(), expected);
            assert_eq!(right.shared(&left).unwrap(), expected);
        }
    }
}
