//! Hugging Face folders: `config.json` and `model.safetensors`.

mod config;
mod weights;

pub use config::{Architecture, detect_architecture};
pub(crate) use config::{JsonConfig, write_json};
pub(crate) use weights::{ExtraTensor, WeightFile, save_weights, write_tensors};
