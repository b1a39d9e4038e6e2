//! Hugging Face folders: `config.json`, `generation_config.json` and `model.safetensors`.

mod architecture;
mod eos;
mod fill;
mod header;
mod json;
mod kept;
mod save;
mod weights;

pub use architecture::{Architecture, detect_architecture};
pub use eos::eos_token_ids;
pub(crate) use fill::{Found, LeftOut};
pub(crate) use json::{JsonConfig, write_json};
pub(crate) use kept::Kept;
pub(crate) use save::{ExtraTensor, Stored, prepare, save_weights, write_tensors};
pub(crate) use weights::Weights;
