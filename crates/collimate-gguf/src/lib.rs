#![doc = include_str!("../README.md")]

mod error;
mod family;
mod file;
mod hf;
mod inside;
mod quant;
mod token;
mod write;

pub use error::GgufError;
pub use file::{Gguf, MetadataArray, MetadataValue, TensorInfo};
pub use hf::{HfModel, HfTensor};
pub use inside::file_inside;
pub use quant::TensorType;
pub use write::{Export, GgufWriter, HfFolder, OutType, ValuesError, write_hugging_face};
