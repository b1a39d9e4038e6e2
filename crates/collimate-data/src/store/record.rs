//! The record of a row in `rows.bin`.

use super::row::{Lengths, RowNumbers};

/// Bytes of a record.
pub(super) const RECORD: usize = 32;

/// Flag of a row from which something was cut.
const TRUNCATED: u32 = 1;

/// Place and lengths of the ids of a row, and the numbers of the row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Record {
    /// Number of ids before the row.
    pub(super) offset: u64,
    pub(super) lengths: Lengths,
    pub(super) truncated: bool,
    pub(super) numbers: RowNumbers,
}

impl Record {
    /// Returns the number of ids of this row and of all rows before it. `None` if no file can have
    /// so many.
    pub(super) fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.lengths.total())
    }

    /// Returns the bytes of the record. NaN stands for a missing number.
    pub(super) fn to_bytes(self) -> [u8; RECORD] {
        let [first, second] = self.lengths.answers;
        let flags = if self.truncated { TRUNCATED } else { 0 };
        let number = |number: Option<f32>| number.unwrap_or(f32::NAN).to_bits();
        let words = [
            self.lengths.prompt,
            first,
            second,
            flags,
            number(self.numbers.margin),
            number(self.numbers.weight),
        ];
        let mut bytes = [0; RECORD];
        let (offset, rest) = bytes.split_at_mut(8);
        offset.copy_from_slice(&self.offset.to_le_bytes());
        for (to, word) in rest.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a record. Returns `None` if a flag is set that no row has.
    pub(super) fn of(bytes: [u8; RECORD]) -> Option<Self> {
        let words = bytes.as_chunks::<4>().0;
        let word = |at: usize| u32::from_le_bytes(words[at]);
        let number = |at: usize| {
            let number = f32::from_bits(word(at));
            (!number.is_nan()).then_some(number)
        };
        if word(5) & !TRUNCATED != 0 {
            return None;
        }
        Some(Self {
            offset: u64::from(word(0)) | (u64::from(word(1)) << 32),
            lengths: Lengths {
                prompt: word(2),
                answers: [word(3), word(4)],
            },
            truncated: word(5) == TRUNCATED,
            numbers: RowNumbers {
                margin: number(6),
                weight: number(7),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_layout_of_a_record_is_fixed() {
        let record = Record {
            offset: 0x0102_0304_0506_0708,
            lengths: Lengths {
                prompt: 9,
                answers: [10, 11],
            },
            truncated: true,
            numbers: RowNumbers {
                margin: Some(1.0),
                weight: None,
            },
        };
        let expected = [
            8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 10, 0, 0, 0, 11, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x80,
            0x3f, 0, 0, 0xc0, 0x7f,
        ];
        assert_eq!(record.to_bytes(), expected);
        assert_eq!(Record::of(expected), Some(record));
        let mut unknown = expected;
        unknown[20] = 3;
        assert_eq!(Record::of(unknown), None);
    }

    proptest! {
        #[test]
        fn a_record_that_can_be_read_is_written_back(bytes: [u8; RECORD]) {
            if let Some(record) = Record::of(bytes) {
                prop_assert_eq!(Record::of(record.to_bytes()), Some(record));
            }
        }
    }
}
