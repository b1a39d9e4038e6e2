//! Models: Hugging Face folders in and out, adapters, generation.

pub use collimate_lm::*;
pub use collimate_nn::{
    Adaptable, Adapters, Backbone, CausalLm, Forward, HfFolder, HfReward, LoadError, LoraConfig,
    Pooling, Precision, SaveError, ScalarHead, TokenizerFacts, ValueModel,
};
