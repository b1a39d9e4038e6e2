//! The header of one file: metadata and the table of tensors.

use std::collections::HashSet;
use std::path::Path;

use super::source::Source;
use super::value::MetadataValue;
use crate::{GgufError, TensorType};

/// Smallest number of bytes of a metadata value with its key and type.
const LEAST_VALUE: u64 = 8 + 4 + 1;
/// Smallest number of bytes of an entry in the table of tensors.
const LEAST_TENSOR: u64 = 8 + 4 + 8 + 4 + 8;
/// Greatest number of dimensions of a tensor.
const MOST_DIMENSIONS: u32 = 4;
/// Alignment of a file that names none.
pub(crate) const ALIGNMENT: u32 = 32;
/// Key of the alignment.
pub(crate) const ALIGNMENT_KEY: &str = "general.alignment";

/// A tensor of a GGUF file.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Name in the file, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Lengths of the dimensions in row-major order, as in PyTorch.
    pub shape: Vec<usize>,
    /// Type of the values.
    pub kind: TensorType,
}

impl TensorInfo {
    /// Returns the number of values. [`crate::Gguf::open`] has checked that the product fits.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Place of a tensor's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Index of the file among the parts.
    pub(crate) part: usize,
    /// Position of the first byte in the file.
    pub(crate) start: u64,
    /// Number of bytes.
    pub(crate) bytes: u64,
}

/// The header of one file.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) metadata: Vec<(String, MetadataValue)>,
    pub(crate) tensors: Vec<(TensorInfo, Place)>,
}

impl Header {
    pub(crate) fn get(&self, key: &str) -> Option<&MetadataValue> {
        let found = self.metadata.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    }
}

/// Reads the header of the file that is part number `part`.
pub(crate) fn read(path: &Path, part: usize) -> Result<Header, GgufError> {
    let mut source = Source::open(path)?;
    let version = version(&mut source)?;
    let tensors = source.u64("the number of tensors")?;
    let values = source.u64("the number of metadata values")?;
    source.check("the metadata", values, LEAST_VALUE)?;
    let metadata = metadata(&mut source, values)?;
    source.check("the table of tensors", tensors, LEAST_TENSOR)?;
    let mut entries = Vec::new();
    for _ in 0..tensors {
        entries.push(entry(&mut source)?);
    }
    let mut header = Header {
        version,
        metadata,
        tensors: Vec::new(),
    };
    let alignment = alignment(path, &header)?;
    let data = source.position().next_multiple_of(alignment);
    header.tensors = place(&source, part, data, alignment, entries)?;
    Ok(header)
}

fn version(source: &mut Source<'_>) -> Result<u32, GgufError> {
    let path = source.path();
    // A file of fewer than four bytes is no GGUF file either.
    if source.length() < 4 || &source.bytes::<4>("the first word")? != b"GGUF" {
        return Err(GgufError::NotGguf {
            path: path.to_owned(),
        });
    }
    match source.u32("the version")? {
        version @ (2 | 3) => Ok(version),
        version if version.swap_bytes() < 1 << 16 => Err(GgufError::BigEndian {
            path: path.to_owned(),
        }),
        version => Err(GgufError::Version {
            path: path.to_owned(),
            version,
        }),
    }
}

fn metadata(
    source: &mut Source<'_>,
    count: u64,
) -> Result<Vec<(String, MetadataValue)>, GgufError> {
    let mut keys = HashSet::new();
    let mut metadata = Vec::new();
    for _ in 0..count {
        let key = source.string("the key of a metadata value")?;
        if !keys.insert(key.clone()) {
            let message = format!("the metadata value {key} occurs twice");
            return Err(GgufError::damaged(source.path(), message));
        }
        let value = source.value(&format!("the metadata value {key}"))?;
        metadata.push((key, value));
    }
    Ok(metadata)
}

/// An entry in the table of tensors, and the tensor's distance from the begin of the data.
fn entry(source: &mut Source<'_>) -> Result<(TensorInfo, u64), GgufError> {
    let name = source.string("the name of a tensor")?;
    let what = format!("the entry of the tensor {name}");
    let path = source.path();
    let wrong = |message: String| GgufError::tensor(path, &name, message);
    let dimensions = source.u32(&what)?;
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        let message = format!("has {dimensions} dimensions but must have 1 to {MOST_DIMENSIONS}");
        return Err(wrong(message));
    }
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        let length = source.u64(&what)?;
        // Every product of lengths must fit into the integers of this machine.
        let product = lengths
            .iter()
            .try_fold(length, |product, length| u64::checked_mul(product, *length));
        match product {
            Some(product) if product > 0 && isize::try_from(product).is_ok() => {
                lengths.push(length)
            }
            _ => {
                return Err(wrong(format!(
                    "has the impossible dimensions {lengths:?}, {length}"
                )));
            }
        }
    }
    let code = source.u32(&what)?;
    let kind = TensorType::from_code(code)
        .ok_or_else(|| wrong(format!("has the unknown type number {code}")))?;
    if !lengths[0].is_multiple_of(kind.block_values() as u64) {
        return Err(wrong(format!(
            "has rows of {} values, but {kind} needs a multiple of {}",
            lengths[0],
            kind.block_values()
        )));
    }
    let offset = source.u64(&what)?;
    let shape = lengths
        .iter()
        .rev()
        .map(|length| *length as usize)
        .collect();
    Ok((TensorInfo { name, shape, kind }, offset))
}

fn alignment(path: &Path, header: &Header) -> Result<u64, GgufError> {
    let alignment = match header.get(ALIGNMENT_KEY) {
        None => u64::from(ALIGNMENT),
        Some(MetadataValue::U32(alignment)) => u64::from(*alignment),
        Some(other) => {
            let message = format!("is {other:?} but must be a 32-bit unsigned integer");
            return Err(GgufError::metadata(path, ALIGNMENT_KEY, message));
        }
    };
    match alignment.is_power_of_two() {
        true => Ok(alignment),
        false => {
            let message = format!("is {alignment} but must be a power of two");
            Err(GgufError::metadata(path, ALIGNMENT_KEY, message))
        }
    }
}

/// Checks that the tensors lie inside the file and apart from each other.
fn place(
    source: &Source<'_>,
    part: usize,
    data: u64,
    alignment: u64,
    entries: Vec<(TensorInfo, u64)>,
) -> Result<Vec<(TensorInfo, Place)>, GgufError> {
    let path = source.path();
    let mut names = HashSet::new();
    let mut placed = Vec::with_capacity(entries.len());
    for (info, offset) in entries {
        let wrong = |message: String| GgufError::tensor(path, &info.name, message);
        if !names.insert(info.name.clone()) {
            return Err(wrong("occurs twice in the file".to_owned()));
        }
        if !offset.is_multiple_of(alignment) {
            let message = format!("begins at {offset}, but the alignment is {alignment}");
            return Err(wrong(message));
        }
        let blocks = info.count() / info.kind.block_values();
        let bytes = blocks as u128 * info.kind.block_bytes() as u128;
        let end = u128::from(data) + u128::from(offset) + bytes;
        let (true, Ok(bytes)) = (end <= u128::from(source.length()), u64::try_from(bytes)) else {
            return Err(GgufError::Truncated {
                path: path.to_owned(),
                what: format!("the tensor {}", info.name),
                needs: end,
                has: source.length(),
            });
        };
        let start = data + offset;
        placed.push((info, Place { part, start, bytes }));
    }
    let mut order: Vec<&(TensorInfo, Place)> = placed.iter().collect();
    order.sort_by_key(|(_, place)| place.start);
    for pair in order.windows(2) {
        let [(before, first), (after, second)] = pair else {
            continue;
        };
        if first.start + first.bytes > second.start {
            let message = format!("overlaps the tensor {}", before.name);
            return Err(GgufError::tensor(path, &after.name, message));
        }
    }
    Ok(placed)
}
