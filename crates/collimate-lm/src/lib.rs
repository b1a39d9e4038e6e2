#![doc = include_str!("../README.md")]

mod bounds;
mod encoder;
mod generate;
mod hf;
mod llama;
mod peft;
mod pretrained;
mod rows;

pub use encoder::{
    DebertaConfig, Encoder, EncoderConfig, EncoderType, ModernConfig, RelativeNorm, RelativeTerm,
};
pub use generate::{
    BatchLimits, FolderSampling, GenerationProgress, Place, TextGenerator, Watch, sample,
};
pub use hf::{Architecture, detect_architecture, eos_token_ids};
pub use llama::{LayerKind, LayerRope, Llama, LlamaCache, LlamaConfig, ModelType, RopeScaling};
pub use pretrained::{Pretrained, PretrainedError};
