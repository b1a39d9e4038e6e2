//! Bytes of metadata.

use std::io::{self, BufWriter, Write};

use crate::file::ALIGNMENT;
use crate::{MetadataArray, MetadataValue};

/// A writer that knows the number of bytes so far.
pub(crate) struct Counter<'a> {
    out: BufWriter<&'a mut dyn Write>,
    bytes: u64,
}

impl<'a> Counter<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out: BufWriter::with_capacity(1 << 20, out),
            bytes: 0,
        }
    }

    /// Writes the rest of the buffer and returns the number of bytes.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.out.flush()?;
        Ok(self.bytes)
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Fills up to the alignment.
    pub(crate) fn pad(&mut self) -> io::Result<()> {
        let end = self.bytes.next_multiple_of(ALIGNMENT.into());
        let zeros = [0; ALIGNMENT as usize];
        let missing = (end - self.bytes) as usize;
        self.write_all(&zeros[..missing])
    }
}

pub(crate) fn length(out: &mut Counter<'_>, length: usize) -> io::Result<()> {
    out.write_all(&(length as u64).to_le_bytes())
}

pub(crate) fn string(out: &mut Counter<'_>, text: &str) -> io::Result<()> {
    length(out, text.len())?;
    out.write_all(text.as_bytes())
}

pub(crate) fn metadata_value(out: &mut Counter<'_>, value: &MetadataValue) -> io::Result<()> {
    match value {
        MetadataValue::U8(value) => out.write_all(&value.to_le_bytes()),
        MetadataValue::I8(value) => out.write_all(&value.to_le_bytes()),
        MetadataValue::U16(value) => out.write_all(&value.to_le_bytes()),
        MetadataValue::I16(value) => out.write_all(&value.to_le_bytes()),
        MetadataValue::U32(value) => out.write_all(&value.to_le_bytes()),
        MetadataValue::I32(value) => out.write_all(&value.to_le_bytes()),
        MetadataValue::F32(value) => out.write_all(&value.to_le_bytes()),
        MetadataValue::Bool(value) => out.write_all(&[u8::from(*value)]),
        MetadataValue::String(text) => string(out, text),
        MetadataValue::Array(array) => metadata_array(out, array),
        MetadataValue::U64(value) => out.write_all(&value.to_le_bytes()),
        MetadataValue::I64(value) => out.write_all(&value.to_le_bytes()),
        MetadataValue::F64(value) => out.write_all(&value.to_le_bytes()),
    }
}

fn metadata_array(out: &mut Counter<'_>, array: &MetadataArray) -> io::Result<()> {
    out.write_all(&array.code().to_le_bytes())?;
    length(out, array.len())?;
    macro_rules! numbers {
        ($list:expr) => {
            $list
                .iter()
                .try_for_each(|value| out.write_all(&value.to_le_bytes()))
        };
    }
    match array {
        MetadataArray::U8(list) => out.write_all(list),
        MetadataArray::I8(list) => numbers!(list),
        MetadataArray::U16(list) => numbers!(list),
        MetadataArray::I16(list) => numbers!(list),
        MetadataArray::U32(list) => numbers!(list),
        MetadataArray::I32(list) => numbers!(list),
        MetadataArray::F32(list) => numbers!(list),
        MetadataArray::Bool(list) => list
            .iter()
            .try_for_each(|value| out.write_all(&[u8::from(*value)])),
        MetadataArray::String(list) => list.iter().try_for_each(|text| string(out, text)),
        MetadataArray::Array(list) => list.iter().try_for_each(|array| metadata_array(out, array)),
        MetadataArray::U64(list) => numbers!(list),
        MetadataArray::I64(list) => numbers!(list),
        MetadataArray::F64(list) => numbers!(list),
    }
}
