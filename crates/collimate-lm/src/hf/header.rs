//! Header of a safetensors file: names, types, shapes and places, without values.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use collimate_nn::LoadError;
use safetensors::tensor::{Dtype, Metadata};

/// Longest header in bytes, as in safetensors itself. A longer header is an attack or a mistake.
const LONGEST: u64 = 100_000_000;

/// One open safetensors file.
#[derive(Debug)]
pub(super) struct TensorFile {
    pub(super) path: PathBuf,
    file: File,
}

/// Type, shape and place of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// First byte in the file.
    start: u64,
    bytes: usize,
}

impl TensorFile {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path) -> Result<(Self, BTreeMap<String, Entry>), LoadError> {
        let io = |source| LoadError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let broken = |what: String| LoadError::Invalid {
            path: path.to_owned(),
            message: format!(
                "not a complete safetensors file ({what}): copy or download the file again"
            ),
        };
        let mut size = [0; 8];
        if length < 8 {
            return Err(broken(format!("{length} bytes")));
        }
        file.read_exact(&mut size).map_err(io)?;
        let size = u64::from_le_bytes(size);
        if size > LONGEST || size > length - 8 {
            return Err(broken(format!(
                "the header would have {size} bytes, the file has {length}"
            )));
        }
        let mut header = vec![0; size as usize];
        file.read_exact(&mut header).map_err(io)?;
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|error| broken(error.to_string()))?;
        let begin = 8 + size;
        let mut entries = BTreeMap::new();
        let mut end = 0;
        for (name, info) in header.tensors() {
            let (from, to) = info.data_offsets;
            end = end.max(to as u64);
            let entry = Entry {
                dtype: info.dtype,
                shape: info.shape.clone(),
                start: begin + from as u64,
                bytes: to - from,
            };
            entries.insert(name, entry);
        }
        if end != length - begin {
            return Err(broken(format!(
                "{} bytes of values, but the header asks for {end}",
                length - begin
            )));
        }
        let path = path.to_owned();
        Ok((Self { path, file }, entries))
    }

    /// Reads a tensor's values as f32. All values must be finite.
    pub(super) fn values(&self, name: &str, entry: &Entry) -> Result<Vec<f32>, LoadError> {
        let mut bytes = vec![0; entry.bytes];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(entry.start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|source| LoadError::Io {
                path: self.path.clone(),
                source,
            })?;
        let values = to_f32(entry.dtype, &bytes).ok_or_else(|| self.unread(name, entry))?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(LoadError::NotFinite {
                path: self.path.clone(),
                name: name.to_owned(),
                index,
                value: values[index],
            }),
        }
    }

    /// Returns the error for a type that cannot be read.
    pub(super) fn unread(&self, name: &str, entry: &Entry) -> LoadError {
        LoadError::Dtype {
            path: self.path.clone(),
            name: name.to_owned(),
            found: format!("{:?}", entry.dtype),
        }
    }
}

impl Entry {
    /// Returns true if the type can be read.
    pub(super) fn is_read(&self) -> bool {
        matches!(
            self.dtype,
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16
        )
    }
}

fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    use burn::tensor::{bf16, f16};
    Some(match dtype {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
        _ => return None,
    })
}

fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<N>();
    numbers.iter().map(|bytes| number(*bytes)).collect()
}
