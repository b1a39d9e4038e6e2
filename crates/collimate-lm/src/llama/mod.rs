//! The Llama family, Mistral included: RMSNorm, rotary positions, grouped-query attention over all
//! tokens or a sliding window, SwiGLU.

mod config;
mod decode;
mod model;
mod parts;
mod read;
mod rope;
mod sizes;
mod store;

pub use config::LlamaConfig;
pub use decode::LlamaCache;
pub use model::Llama;
