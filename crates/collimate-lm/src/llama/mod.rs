//! One decoder for Llama and its relatives: RMSNorm, rotary positions, grouped-query attention over all
//! tokens or a sliding window, SwiGLU. The configuration says what each layer has; [`families`] says what
//! the classes of transformers have.

mod config;
mod decode;
pub(crate) mod families;
mod layer;
mod model;
mod parts;
mod read;
mod rope;
mod rope_read;
mod sizes;
mod store;

pub use config::LlamaConfig;
pub use decode::LlamaCache;
pub use families::ModelType;
pub use layer::LayerKind;
pub use model::Llama;
pub use rope::RopeScaling;
