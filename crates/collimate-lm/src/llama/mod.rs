//! The Llama family, Mistral included: RMSNorm, rotary positions, grouped-query attention over all
//! tokens or a sliding window, SwiGLU.

mod config;
mod model;
mod parts;
mod store;

pub use config::LlamaConfig;
pub use model::Llama;
