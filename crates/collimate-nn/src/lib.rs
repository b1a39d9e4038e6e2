#![doc = include_str!("../README.md")]

mod adapter;
mod batch;
mod cache;
mod error;
mod fill;
mod forward;
mod head;
mod init;
mod layers;
mod linear;
mod logp;
mod output;
mod params;
mod pooling;
mod precision;
mod save;
mod traits;
mod value;

pub use adapter::{Adaptable, LoraConfig};
pub use batch::{DeviceBatch, Pack, SequenceRows};
pub use cache::KvCache;
pub use error::{LoadError, PackError, SaveError};
pub use fill::packs;
pub use forward::{Adapters, Forward, RowForward, dropout};
pub use head::ScalarHead;
pub use init::normal;
pub use layers::{Embedding, LayerNorm, RmsNorm};
pub use linear::{Linear, Lora};
pub use logp::{completion_logps, sum_by_sequence, token_logps, token_logps_entropy};
pub use output::OutputHead;
pub use params::{ParameterInfo, parameters, separate, set_trainable};
pub use pooling::{Pooling, pool, pooled};
pub use precision::Precision;
pub use save::{SaveOptions, StoredType};
pub use traits::{Backbone, CausalLm, HfFolder, HfReward, RewardParts};
pub use value::ValueModel;
