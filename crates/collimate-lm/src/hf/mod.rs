//! Hugging Face folders: `config.json` and `model.safetensors`.

mod config;
mod eos;
mod weights;

pub use config::{Architecture, detect_architecture};
pub(crate) use config::{JsonConfig, write_json};
pub use eos::eos_token_ids;
pub(crate) use weights::{ExtraTensor, WeightFile, save_weights, write_tensors};
