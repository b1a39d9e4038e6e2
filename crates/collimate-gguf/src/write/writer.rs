//! New GGUF files, tensor by tensor.

use std::collections::HashSet;
use std::error::Error;
use std::io;
use std::path::Path;

use super::bytes::{Counter, length, metadata_value, string};
use crate::file::{ALIGNMENT, ALIGNMENT_KEY, TensorInfo};
use crate::quant::{Refused, encode};
use crate::{GgufError, MetadataValue, TensorType};

/// Version of the format that is written.
const VERSION: u32 = 3;
/// Greatest number of bytes of a tensor's name in llama.cpp.
const MOST_NAME: usize = 63;
/// Number of values that are converted at once. All blocks divide the number.
const CHUNK: usize = 1 << 18;

/// Error of a caller's function that delivers values.
pub type ValuesError = Box<dyn Error + Send + Sync>;

/// Metadata and tensors of a new GGUF file. The values are asked for one tensor at a time while the
/// file is written.
///
/// # Examples
/// ```
/// use collimate_gguf::{Gguf, GgufWriter, MetadataValue, TensorType};
/// let path = std::env::temp_dir().join(format!("collimate-{}.gguf", std::process::id()));
/// let mut writer = GgufWriter::new();
/// writer.set("general.name", MetadataValue::String("ones".to_owned()))?;
/// writer.add_tensor("ones", vec![2, 32], TensorType::Q8_0)?;
/// writer.write(&path, |_| Ok(vec![1.0; 64]))?;
/// assert_eq!(Gguf::open(&path)?.values("ones")?.len(), 64);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct GgufWriter {
    metadata: Vec<(String, MetadataValue)>,
    tensors: Vec<TensorInfo>,
    keys: HashSet<String>,
    names: HashSet<String>,
}

impl GgufWriter {
    /// Makes a writer for a file without content.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metadata value.
    ///
    /// # Errors
    /// Returns an error if the key is set already, or sets the alignment, which is always 32.
    pub fn set(&mut self, key: &str, value: MetadataValue) -> Result<(), GgufError> {
        if key == ALIGNMENT_KEY {
            return Err(GgufError::plan(
                key,
                format!("the alignment is always {ALIGNMENT}"),
            ));
        }
        if !self.keys.insert(key.to_owned()) {
            return Err(GgufError::plan(key, "the value is set twice"));
        }
        self.metadata.push((key.to_owned(), value));
        Ok(())
    }

    /// Adds a tensor, with the shape in row-major order.
    ///
    /// # Errors
    /// Returns an error if the name exists or is longer than 63 bytes, the shape does not have 1 to
    /// 4 positive lengths, the rows do not consist of whole blocks of the type, or the type is none
    /// of F32, F16, BF16 and Q8_0.
    pub fn add_tensor(
        &mut self,
        name: &str,
        shape: Vec<usize>,
        kind: TensorType,
    ) -> Result<(), GgufError> {
        let wrong = |message: String| Err(GgufError::plan(name, message));
        if name.len() > MOST_NAME {
            return wrong(format!("the name has more than {MOST_NAME} bytes"));
        }
        let product = shape
            .iter()
            .try_fold(1usize, |product, length| product.checked_mul(*length));
        let bytes = product.and_then(|count| count.checked_mul(4));
        if !(1..=4).contains(&shape.len()) || bytes.is_none_or(|bytes| bytes == 0) {
            return wrong(format!(
                "the shape {shape:?} does not have 1 to 4 positive lengths"
            ));
        }
        let written = [
            TensorType::F32,
            TensorType::F16,
            TensorType::Bf16,
            TensorType::Q8_0,
        ];
        if !written.contains(&kind) {
            return wrong(format!(
                "the type {kind} is not written: use F32, F16, BF16 or Q8_0"
            ));
        }
        let row = shape.last().copied().unwrap_or(0);
        if !row.is_multiple_of(kind.block_values()) {
            let block = kind.block_values();
            return wrong(format!(
                "{kind} needs rows of a multiple of {block} values, not {row}"
            ));
        }
        if !self.names.insert(name.to_owned()) {
            return wrong("the tensor is added twice".to_owned());
        }
        let name = name.to_owned();
        self.tensors.push(TensorInfo { name, shape, kind });
        Ok(())
    }

    /// Writes the file and returns the number of bytes. `values` gets the name of each tensor in
    /// turn and returns the values in row-major order. The memory holds one tensor at a time.
    ///
    /// The file gets its name after the last byte: until then, and after an error or a kill, the
    /// path holds the earlier file or nothing.
    ///
    /// # Errors
    /// Returns an error if `values` fails or delivers a wrong number of values, a value is not
    /// finite or too large for the type, or the file cannot be written.
    pub fn write(
        &self,
        path: &Path,
        mut values: impl FnMut(&str) -> Result<Vec<f32>, ValuesError>,
    ) -> Result<u64, GgufError> {
        let mut written = 0;
        let mut failed = None;
        let result = collimate_files::atomic_write_with(path, |file| {
            let mut out = Counter::new(file);
            self.header(&mut out)?;
            for tensor in &self.tensors {
                if let Err(error) = tensor_values(&mut out, tensor, &mut values)? {
                    failed = Some(error);
                    return Err(io::Error::other("the values are refused"));
                }
            }
            written = out.finish()?;
            Ok(())
        });
        match (failed, result) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(())) => Ok(written),
        }
    }

    fn header(&self, out: &mut Counter<'_>) -> io::Result<()> {
        out.write_all(b"GGUF")?;
        out.write_all(&VERSION.to_le_bytes())?;
        length(out, self.tensors.len())?;
        length(out, self.metadata.len())?;
        for (key, value) in &self.metadata {
            string(out, key)?;
            out.write_all(&value.code().to_le_bytes())?;
            metadata_value(out, value)?;
        }
        let mut offset = 0u64;
        for tensor in &self.tensors {
            string(out, &tensor.name)?;
            out.write_all(&(tensor.shape.len() as u32).to_le_bytes())?;
            for size in tensor.shape.iter().rev() {
                length(out, *size)?;
            }
            out.write_all(&tensor.kind.code().to_le_bytes())?;
            out.write_all(&offset.to_le_bytes())?;
            let blocks = tensor.count() / tensor.kind.block_values();
            let bytes = blocks as u64 * tensor.kind.block_bytes() as u64;
            offset += bytes.next_multiple_of(ALIGNMENT.into());
        }
        out.pad()
    }
}

/// Writes one tensor. The inner error concerns the values, the outer error the file.
fn tensor_values(
    out: &mut Counter<'_>,
    tensor: &TensorInfo,
    values: &mut impl FnMut(&str) -> Result<Vec<f32>, ValuesError>,
) -> io::Result<Result<(), GgufError>> {
    let values = match values(&tensor.name) {
        Ok(values) => values,
        Err(source) => {
            let tensor = tensor.name.clone();
            return Ok(Err(GgufError::Values { tensor, source }));
        }
    };
    if values.len() != tensor.count() {
        let message = format!(
            "{} values came for the shape {:?}",
            values.len(),
            tensor.shape
        );
        return Ok(Err(GgufError::plan(&tensor.name, message)));
    }
    let mut bytes = Vec::new();
    for (number, chunk) in values.chunks(CHUNK).enumerate() {
        bytes.clear();
        if let Err(refused) = encode(tensor.kind, chunk, &mut bytes) {
            let message = match refused {
                Refused::Type => format!("the type {} is not written", tensor.kind),
                Refused::Value(value) => {
                    let place = number * CHUNK;
                    let kind = tensor.kind;
                    format!(
                        "{value} at or behind index {place} is not finite, or too large for {kind}"
                    )
                }
            };
            return Ok(Err(GgufError::plan(&tensor.name, message)));
        }
        out.write_all(&bytes)?;
    }
    out.pad()?;
    Ok(Ok(()))
}
