//! Models: Hugging Face folders are loaded and saved, with adapters and generation.

pub use collimate_lm::*;
pub use collimate_nn::{
    Adaptable, AdapterBase, Adapters, Backbone, CausalLm, Forward, HfFolder, HfReward, LoadError,
    LoraConfig, LoraScaling, Pooling, Precision, SaveError, SaveOptions, ScalarHead, StoredType,
    ValueModel,
};
