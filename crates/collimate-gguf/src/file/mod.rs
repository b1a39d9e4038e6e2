//! The file format: metadata, table of tensors, values.

mod gguf;
mod header;
mod source;
mod split;
mod value;

pub use gguf::Gguf;
pub use header::TensorInfo;
pub(crate) use header::{ALIGNMENT, ALIGNMENT_KEY};
pub use value::{MetadataArray, MetadataValue};
