//! Hugging Face folders: `config.json`, `generation_config.json` and weights as safetensors.

mod architecture;
mod eos;
mod fill;
mod gguf;
mod header;
mod json;
mod kept;
mod save;
mod shards;
mod tensors;
mod weights;

pub use architecture::{Architecture, detect_architecture};
pub use eos::eos_token_ids;
pub(crate) use fill::{Found, LeftOut};
pub(crate) use gguf::save_gguf;
pub(crate) use json::{JsonConfig, write_json};
pub(crate) use kept::Kept;
pub(crate) use save::{Stored, collected, prepare, save_weights};
pub(crate) use tensors::{Written, write_tensors};
pub(crate) use weights::{INDEX, SINGLE, Weights};
