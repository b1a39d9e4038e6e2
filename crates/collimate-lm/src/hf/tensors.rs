//! One safetensors file, written tensor by tensor.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use burn::tensor::{Tensor, bf16, f16};
use collimate_nn::{SaveError, StoredType};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::save::unwritten;

/// Number of values that are converted at a time.
const PART: usize = 1 << 20;

/// Receives values of a tensor, in the order of the file.
pub(crate) type Take<'a> = dyn FnMut(&[f32]) -> io::Result<()> + 'a;

/// Computes the values of a tensor, and passes them on.
type Values = dyn Fn(&mut Take<'_>) -> io::Result<()>;

/// A tensor to be written. Its values are computed when they are written.
pub(crate) struct Written {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    values: Box<Values>,
}

impl Written {
    /// Returns a tensor that exists already.
    pub(crate) fn of<const D: usize>(name: String, tensor: Tensor<D>) -> Self {
        let shape = tensor.dims().to_vec();
        Self::lazy(name, shape, move || tensor.clone())
    }

    /// Returns a tensor of a known shape that `tensor` computes.
    pub(crate) fn lazy<const D: usize>(
        name: String,
        shape: Vec<usize>,
        tensor: impl Fn() -> Tensor<D> + 'static,
    ) -> Self {
        Self {
            name,
            shape,
            values: Box::new(move |take| by_rows(tensor(), take)),
        }
    }

    /// Returns the tensor under a longer name.
    pub(crate) fn with_prefix(self, prefix: &str) -> Self {
        Self {
            name: format!("{prefix}{}", self.name),
            ..self
        }
    }

    /// Passes the values to `take`, in the order of the file.
    pub(crate) fn each(&self, take: &mut Take<'_>) -> io::Result<()> {
        (self.values)(take)
    }

    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns the size in a file, in bytes.
    pub(super) fn bytes(&self, dtype: StoredType) -> usize {
        self.len() * width(dtype)
    }
}

/// Passes the values of a tensor to `take`, some rows at a time.
fn by_rows<const D: usize>(tensor: Tensor<D>, take: &mut Take<'_>) -> io::Result<()> {
    let dims = tensor.dims();
    let rows = dims.first().copied().unwrap_or(1);
    let wide = dims.iter().skip(1).product::<usize>().max(1);
    let most = (PART / wide).max(1);
    let mut at = 0;
    while at < rows {
        let count = most.min(rows - at);
        let part = match count == rows {
            true => tensor.clone(),
            false => tensor.clone().narrow(0, at, count),
        };
        let data = part.into_data().convert::<f32>();
        let values = data.as_slice::<f32>();
        take(values.map_err(|error| io::Error::other(format!("{error:?}")))?)?;
        at += count;
    }
    Ok(())
}

/// Writes tensors as one safetensors file, in the order given.
pub(crate) fn write_tensors(
    path: &Path,
    tensors: &[impl std::borrow::Borrow<Written>],
    dtype: StoredType,
) -> Result<(), SaveError> {
    let tensors: Vec<&Written> = tensors.iter().map(std::borrow::Borrow::borrow).collect();
    let header = header(&tensors, dtype).map_err(|error| SaveError::Serialize {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    collimate_files::atomic_write_with(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for tensor in &tensors {
            write_values(tensor, dtype, file)?;
        }
        Ok(())
    })
    .map_err(|error| match error.source.kind() {
        // A value that the type cannot hold, or a tensor that cannot be read.
        io::ErrorKind::Other => SaveError::Serialize {
            path: path.to_owned(),
            message: error.source.to_string(),
        },
        _ => unwritten(path, error.source),
    })
}

/// Returns the header, filled up to a multiple of 8 bytes with spaces.
fn header(tensors: &[&Written], dtype: StoredType) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let begin = end;
        end += tensor.bytes(dtype);
        let info = TensorInfo {
            dtype: match dtype {
                StoredType::F32 => Dtype::F32,
                StoredType::Bf16 => Dtype::BF16,
                StoredType::F16 => Dtype::F16,
            },
            shape: tensor.shape.clone(),
            data_offsets: (begin, end),
        };
        (tensor.name.clone(), info)
    });
    // Transformers refuses a file that does not name the framework of its layout.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(format), infos.collect())?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

fn width(dtype: StoredType) -> usize {
    match dtype {
        StoredType::F32 => 4,
        StoredType::Bf16 | StoredType::F16 => 2,
    }
}

/// Writes the values of a tensor. A value that f16 cannot hold is an error.
fn write_values(tensor: &Written, dtype: StoredType, file: &mut dyn Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    tensor.each(&mut |values| {
        bytes.clear();
        match dtype {
            StoredType::F32 => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            StoredType::Bf16 => {
                bytes.extend(values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()));
            }
            StoredType::F16 => {
                let stored = |v: f32| f16::from_f32(v);
                let large = |v: &&f32| v.is_finite() && !stored(**v).is_finite();
                if let Some(value) = values.iter().find(large) {
                    return Err(io::Error::other(format!(
                        "tensor {} holds {value}, which f16 cannot hold: save as bf16 or f32",
                        tensor.name
                    )));
                }
                bytes.extend(values.iter().flat_map(|&v| stored(v).to_le_bytes()));
            }
        }
        file.write_all(&bytes)
    })
}
