//! An open GGUF model: metadata, tensors, and their values on demand.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::header::{self, Place, TensorInfo};
use super::split;
use super::value::MetadataValue;
use crate::GgufError;
use crate::quant::{READ, decoder};

/// Number of bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// A GGUF model in one file or several parts. The values of tensors stay in the files until
/// [`Gguf::values`] reads them.
///
/// # Examples
/// ```
/// # let dir = env!("CARGO_MANIFEST_DIR");
/// let gguf = collimate_gguf::Gguf::open(format!("{dir}/tests/fixtures/tiny_llama.gguf"))?;
/// let name = gguf.get("general.architecture").and_then(|value| value.as_str());
/// assert_eq!(name, Some("llama"));
/// let norm = gguf.values("output_norm.weight")?;
/// assert_eq!(norm.len(), gguf.tensor("output_norm.weight").unwrap().count());
/// # Ok::<(), collimate_gguf::GgufError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Gguf {
    parts: Vec<PathBuf>,
    path: PathBuf,
    version: u32,
    metadata: Vec<(String, MetadataValue)>,
    keys: HashMap<String, usize>,
    tensors: Vec<TensorInfo>,
    places: Vec<Place>,
    names: HashMap<String, usize>,
}

impl Gguf {
    /// Opens a model: reads the metadata and the table of tensors, and compares every count, length
    /// and offset with the length of the file. If the file is a part of a split model, all parts
    /// must lie in its folder.
    ///
    /// # Errors
    /// Returns an error if the file is not a little-endian GGUF file of version 2 or 3, is cut off
    /// or damaged, or if a part is missing.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, GgufError> {
        let path = path.into();
        let first = header::read(&path, 0)?;
        let parts = split::parts(&path, &first)?;
        let mut headers = Vec::new();
        if parts.len() == 1 {
            headers.push(first);
        } else {
            for (index, part) in parts.iter().enumerate() {
                let header = header::read(part, index)?;
                split::check(part, &header, index, parts.len())?;
                headers.push(header);
            }
        }
        let mut gguf = Self {
            version: headers[0].version,
            metadata: std::mem::take(&mut headers[0].metadata),
            keys: HashMap::new(),
            tensors: Vec::new(),
            places: Vec::new(),
            names: HashMap::new(),
            parts,
            path,
        };
        for (index, (key, _)) in gguf.metadata.iter().enumerate() {
            gguf.keys.insert(key.clone(), index);
        }
        for (info, place) in headers.into_iter().flat_map(|header| header.tensors) {
            let earlier = gguf.names.insert(info.name.clone(), gguf.tensors.len());
            if earlier.is_some() {
                return Err(gguf.wrong(&info.name, "occurs in two parts"));
            }
            gguf.tensors.push(info);
            gguf.places.push(place);
        }
        gguf.check_count()?;
        Ok(gguf)
    }

    fn check_count(&self) -> Result<(), GgufError> {
        let count = self.tensors.len() as u64;
        match self.get(split::TENSORS).map(|value| value.as_u64()) {
            Some(announced) if self.parts.len() > 1 && announced != Some(count) => {
                let message = format!("is not {count}, the number of tensors in the parts");
                Err(GgufError::metadata(&self.path, split::TENSORS, message))
            }
            _ => Ok(()),
        }
    }

    /// Returns the path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns the metadata in the order of the file. For a split model the first part counts.
    pub fn metadata(&self) -> &[(String, MetadataValue)] {
        &self.metadata
    }

    /// Returns the metadata value of a key.
    pub fn get(&self, key: &str) -> Option<&MetadataValue> {
        self.keys.get(key).map(|index| &self.metadata[*index].1)
    }

    /// Returns all tensors in the order of the file.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Returns the tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.names.get(name).map(|index| &self.tensors[*index])
    }

    /// Reads the values of a tensor in row-major order. Quantised values are expanded exactly as
    /// llama.cpp's reference code expands them.
    ///
    /// # Errors
    /// Returns an error if there is no such tensor, the type is not read, the file has changed since
    /// it was opened, or a value is not finite.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, GgufError> {
        let index = self.names.get(name);
        let index = *index.ok_or_else(|| self.wrong(name, "is not in the file"))?;
        let (info, place) = (&self.tensors[index], self.places[index]);
        let decode = decoder(info.kind).ok_or_else(|| {
            let message = format!(
                "has the type {}, which is not read: use a file with {READ}",
                info.kind
            );
            self.wrong(name, message)
        })?;
        let path = &self.parts[place.part];
        let mut file = File::open(path).map_err(GgufError::io(path))?;
        let length = file.metadata().map_err(GgufError::io(path))?.len();
        if place.start + place.bytes > length {
            return Err(self.changed(name, place, length));
        }
        file.seek(SeekFrom::Start(place.start))
            .map_err(GgufError::io(path))?;
        let (block_bytes, block_values) = (info.kind.block_bytes(), info.kind.block_values());
        let mut values = vec![0.0; info.count()];
        let blocks = CHUNK / block_bytes;
        let mut bytes = vec![0; blocks.min(values.len() / block_values) * block_bytes];
        for values in values.chunks_mut(blocks * block_values) {
            let bytes = &mut bytes[..values.len() / block_values * block_bytes];
            file.read_exact(bytes).map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => self.changed(name, place, length),
                _ => GgufError::io(path)(error),
            })?;
            let blocks = bytes.chunks_exact(block_bytes);
            for (block, values) in blocks.zip(values.chunks_exact_mut(block_values)) {
                decode(block, values);
            }
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(GgufError::NotFinite {
                path: path.clone(),
                tensor: name.to_owned(),
                index,
                value: values[index],
            }),
        }
    }

    fn changed(&self, name: &str, place: Place, length: u64) -> GgufError {
        GgufError::Truncated {
            path: self.parts[place.part].clone(),
            what: format!("the tensor {name}"),
            needs: u128::from(place.start) + u128::from(place.bytes),
            has: length,
        }
    }

    pub(crate) fn wrong(&self, tensor: &str, message: impl Into<String>) -> GgufError {
        GgufError::tensor(&self.path, tensor, message)
    }
}
