//! The Llama family: RMSNorm, rotary positions, grouped-query attention, SwiGLU.

mod config;
mod model;
mod parts;
mod store;

pub use config::LlamaConfig;
pub use model::Llama;
