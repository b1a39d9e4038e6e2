//! Check of pages whose values are texts with their lengths. The library panics if such a page ends
//! early.

use parquet::basic::{Encoding, Type};
use parquet::column::page::Page;
use parquet::schema::types::ColumnDescriptor;

/// Levels of a column of texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextPages {
    /// Level of an entry with a value.
    full: i16,
    repeated: bool,
}

impl TextPages {
    /// Returns `None` for a column of other values.
    pub(super) fn of(column: &ColumnDescriptor) -> Option<Self> {
        (column.physical_type() == Type::BYTE_ARRAY).then(|| Self {
            full: column.max_def_level(),
            repeated: column.max_rep_level() > 0,
        })
    }

    /// Returns true if a page holds all the values that it announces.
    pub(super) fn are_whole(self, page: &Page) -> bool {
        let plain = match page {
            Page::DictionaryPage { .. } => true,
            page => page.encoding() == Encoding::PLAIN,
        };
        !plain
            || self
                .values(page)
                .is_some_and(|(values, count)| holds(values, count))
    }

    /// Returns the bytes of the values, and the number of values.
    fn values(self, page: &Page) -> Option<(&[u8], u64)> {
        let entries = u64::from(page.num_values());
        match page {
            Page::DictionaryPage { buf, .. } => Some((buf, entries)),
            Page::DataPage { buf, .. } => {
                let mut rest: &[u8] = buf;
                if self.repeated {
                    (_, rest) = sized(rest)?;
                }
                if self.full == 0 {
                    return Some((rest, entries));
                }
                let (levels, rest) = sized(rest)?;
                Some((rest, count(levels, self.full, entries)))
            }
            Page::DataPageV2 {
                buf,
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => {
                let rest = buf.get(usize::try_from(*rep_levels_byte_len).ok()?..)?;
                let length = usize::try_from(*def_levels_byte_len).ok()?;
                let (levels, rest) = rest.split_at_checked(length)?;
                let all = self.full == 0;
                let given = || count(levels, self.full, entries);
                Some((rest, if all { entries } else { given() }))
            }
        }
    }
}

/// Returns bytes with their length before them, and the rest.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

/// Returns true if bytes hold this number of texts, each after its length.
fn holds(mut bytes: &[u8], count: u64) -> bool {
    for _ in 0..count {
        match sized(bytes) {
            Some((_, rest)) => bytes = rest,
            None => return false,
        }
    }
    true
}

/// Counts the entries with the level `full` among `entries` levels. The levels are runs of one
/// level, and packs of eight levels.
fn count(mut levels: &[u8], full: i16, entries: u64) -> u64 {
    let wanted = u64::from(full.unsigned_abs());
    let bits = u64::BITS - wanted.leading_zeros();
    let (mut left, mut found) = (entries, 0);
    while left > 0 {
        let Some(header) = varint(&mut levels) else {
            break;
        };
        if header & 1 == 0 {
            let run = (header >> 1).min(left);
            let Some((value, rest)) = levels.split_at_checked(bits.div_ceil(8) as usize) else {
                break;
            };
            levels = rest;
            let level = value
                .iter()
                .rev()
                .fold(0, |level, byte| level << 8 | u64::from(*byte));
            found += if level == wanted { run } else { 0 };
            left -= run;
            // A run of no levels would never end.
            if run == 0 {
                break;
            }
        } else {
            let packed = (header >> 1).saturating_mul(8).min(left);
            for at in 0..packed {
                let Some(level) = bits_at(levels, at * u64::from(bits), bits) else {
                    return found;
                };
                found += u64::from(level == wanted);
            }
            let bytes = (header >> 1).saturating_mul(u64::from(bits));
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            levels = levels.get(bytes..).unwrap_or_default();
            left -= packed;
            if packed == 0 {
                break;
            }
        }
    }
    found
}

/// Returns a number of some bits, the first bit the smallest.
fn bits_at(bytes: &[u8], at: u64, bits: u32) -> Option<u64> {
    let mut number = 0;
    for bit in 0..bits {
        let place = at + u64::from(bit);
        let byte = bytes.get(usize::try_from(place / 8).ok()?)?;
        number |= u64::from(byte >> (place % 8) & 1) << bit;
    }
    Some(number)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}
