//! One decoder for all families. The configuration defines the sizes and the parts of each layer,
//! [`families`] the classes of transformers, and [`design`] the structure of their decoders.

mod attention;
mod check;
mod config;
mod decode;
mod design;
pub(crate) mod families;
mod layer;
mod mlp;
mod model;
mod norm;
mod parts;
mod places;
mod read;
mod rope;
mod rope_object;
mod rope_read;
mod sizes;
mod store;

pub use config::LlamaConfig;
pub use decode::LlamaCache;
pub use families::ModelType;
pub use layer::LayerKind;
pub use model::Llama;
pub use rope::{LayerRope, RopeScaling};
