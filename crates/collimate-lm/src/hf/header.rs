//! A file with tensors: names, types, shapes and places, and values on request.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use collimate_gguf::{Gguf, GgufError, HfTensor};
use collimate_nn::LoadError;
use safetensors::tensor::{Dtype, Metadata};

use super::json::gguf_error;

/// Longest header in bytes, as in safetensors itself. A longer header is an attack or a mistake.
const LONGEST: u64 = 100_000_000;

/// Number of values that are read at a time.
const PART: usize = 1 << 20;

/// One open file with tensors.
#[derive(Debug, Clone)]
pub(super) struct TensorFile {
    pub(super) path: PathBuf,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// A safetensors file.
    Plain(Arc<File>),
    /// A GGUF file, whose tensors are expanded.
    Gguf(Arc<Gguf>),
}

/// Type, shape and place of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// First byte in the file.
    start: u64,
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
        let content = Content::Plain(Arc::new(file));
        Ok((Self { path, content }, entries))
    }

    /// Opens a GGUF file. Tensors have the names of a Hugging Face folder.
    pub(super) fn open_gguf(path: &Path) -> Result<(Self, BTreeMap<String, Entry>), LoadError> {
        let fail = |error: GgufError| gguf_error(path, &error);
        let gguf = Gguf::open(path).map_err(fail)?;
        let tensors = gguf.hugging_face().map_err(fail)?.tensors();
        let entry = |tensor: HfTensor| {
            let entry = Entry {
                dtype: Dtype::F32,
                shape: tensor.shape,
                start: 0,
            };
            (tensor.name, entry)
        };
        let entries = tensors.into_iter().map(entry).collect();
        let content = Content::Gguf(Arc::new(gguf));
        let path = path.to_owned();
        Ok((Self { path, content }, entries))
    }

    /// Reads a tensor's values as f32. All values must be finite.
    pub(super) fn values(&self, name: &str, entry: &Entry) -> Result<Vec<f32>, LoadError> {
        if let Content::Gguf(gguf) = &self.content {
            return self.expanded(gguf, name);
        }
        let mut values = Vec::with_capacity(entry.len());
        let mut parts = self.parts(name, entry);
        while let Some(part) = parts.next()? {
            values.extend_from_slice(part);
        }
        Ok(values)
    }

    /// Reads a tensor of a GGUF file.
    fn expanded(&self, gguf: &Gguf, name: &str) -> Result<Vec<f32>, LoadError> {
        let model = gguf.hugging_face();
        let values = model.and_then(|model| model.values(name));
        values.map_err(|error| gguf_error(&self.path, &error))
    }

    /// Returns the values of a tensor in parts, so that reading takes little memory besides the
    /// values that a caller keeps.
    pub(super) fn parts<'a>(&'a self, name: &'a str, entry: &'a Entry) -> Parts<'a> {
        Parts {
            file: self,
            name,
            entry,
            done: 0,
            bytes: Vec::new(),
            values: Vec::new(),
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

/// The values of a tensor, [`PART`] at a time.
pub(super) struct Parts<'a> {
    file: &'a TensorFile,
    name: &'a str,
    entry: &'a Entry,
    /// Number of values read.
    done: usize,
    bytes: Vec<u8>,
    values: Vec<f32>,
}

impl Parts<'_> {
    /// Reads the next values as f32. All values must be finite. Returns `None` after the last part.
    pub(super) fn next(&mut self) -> Result<Option<&[f32]>, LoadError> {
        let (file, entry) = (self.file, self.entry);
        if !entry.is_read() {
            return Err(file.unread(self.name, entry));
        }
        let wide = entry.dtype.bitsize() / 8;
        let count = PART.min(entry.len() - self.done);
        if count == 0 {
            return Ok(None);
        }
        let mut reader = match &file.content {
            Content::Plain(reader) => &**reader,
            Content::Gguf(gguf) => {
                self.values = file.expanded(gguf, self.name)?;
                self.done = self.values.len();
                return Ok(Some(&self.values));
            }
        };
        self.bytes.resize(count * wide, 0);
        let place = entry.start + (self.done * wide) as u64;
        reader
            .seek(SeekFrom::Start(place))
            .and_then(|_| reader.read_exact(&mut self.bytes))
            .map_err(|source| LoadError::Io {
                path: file.path.clone(),
                source,
            })?;
        self.values.clear();
        to_f32(entry.dtype, &self.bytes, &mut self.values);
        if let Some(index) = self.values.iter().position(|value| !value.is_finite()) {
            return Err(LoadError::NotFinite {
                path: file.path.clone(),
                name: self.name.to_owned(),
                index: self.done + index,
                value: self.values[index],
            });
        }
        self.done += count;
        Ok(Some(&self.values))
    }
}

impl Entry {
    /// Returns the number of values.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns true if the type can be read.
    pub(super) fn is_read(&self) -> bool {
        matches!(
            self.dtype,
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16
        )
    }
}

/// Appends the numbers of a type that [`Entry::is_read`] accepts.
fn to_f32(dtype: Dtype, bytes: &[u8], values: &mut Vec<f32>) {
    use burn::tensor::{bf16, f16};
    match dtype {
        Dtype::F64 => each(bytes, values, |b| f64::from_le_bytes(b) as f32),
        Dtype::BF16 => each(bytes, values, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F16 => each(bytes, values, |b| f16::from_le_bytes(b).to_f32()),
        _ => each(bytes, values, f32::from_le_bytes),
    }
}

fn each<const N: usize>(bytes: &[u8], values: &mut Vec<f32>, number: impl Fn([u8; N]) -> f32) {
    let (numbers, _) = bytes.as_chunks::<N>();
    values.extend(numbers.iter().map(|bytes| number(*bytes)));
}
