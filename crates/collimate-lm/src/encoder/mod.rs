//! One encoder for BERT and its relatives: bidirectional attention, learned or rotary positions,
//! and the part of a classification head before its last layer. The configuration defines the parts
//! of the encoder; [`families`] defines their names in transformers.

mod attention;
mod config;
mod deberta;
mod embeddings;
pub(crate) mod families;
mod head;
mod label;
mod model;
mod modern;
mod post;
mod pre;
mod reward;
mod sentence;
mod sizes;
mod stack;
mod store;

pub use config::EncoderConfig;
pub use deberta::{DebertaConfig, RelativeNorm, RelativeTerm};
pub use families::EncoderType;
pub use model::Encoder;
pub use modern::ModernConfig;
