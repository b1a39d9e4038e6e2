#![doc = include_str!("../README.md")]

mod bert;
mod generate;
mod hf;
mod llama;
mod pretrained;
mod rows;

pub use bert::{Bert, BertConfig};
pub use generate::{
    BatchLimits, FolderSampling, GenerationProgress, Place, TextGenerator, Watch, sample,
};
pub use hf::{Architecture, detect_architecture, eos_token_ids};
pub use llama::{LayerKind, Llama, LlamaCache, LlamaConfig, ModelType, RopeScaling};
pub use pretrained::{Pretrained, PretrainedError};
