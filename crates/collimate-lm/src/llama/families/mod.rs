//! The families of decoders: the classes that folders name, and what each reads and writes. A new
//! family is a file here and an entry in [`ModelType`] and in [`Family::of`].

mod llama;
mod mistral;
mod qwen2;
mod qwen3;
mod smollm3;
mod windows;

use collimate_core::OptionError;
use collimate_nn::LoadError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::LlamaConfig;
use crate::hf::JsonConfig;

/// A family of decoders, as `model_type` of Hugging Face's `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ModelType {
    /// Llama 2 and 3, SmolLM2, TinyLlama: no window.
    Llama,
    /// Mistral 7B: one window for all layers, or none; no biases.
    Mistral,
    /// Qwen2 and Qwen2.5: `qkv_bias`.
    Qwen2,
    /// Qwen3: `qk_norm`.
    Qwen3,
    /// SmolLM3: `no_rope_layers`.
    SmolLm3,
}

impl ModelType {
    /// All families.
    pub(crate) const ALL: [Self; 5] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Qwen3,
        Self::SmolLm3,
    ];
}

/// Values that a family's class takes where `config.json` has no such key.
pub(crate) struct Absent {
    pub(crate) rope_theta: f64,
    pub(crate) max_position_embeddings: usize,
    /// `None`: as many as query heads.
    pub(crate) num_key_value_heads: Option<usize>,
    /// `None`: the width divided by the heads.
    pub(crate) head_dim: Option<usize>,
    pub(crate) tie_word_embeddings: bool,
}

impl Absent {
    const LLAMA: Self = Self {
        rope_theta: 1e4,
        max_position_embeddings: 2048,
        num_key_value_heads: None,
        head_dim: None,
        tie_word_embeddings: false,
    };
}

/// A family: what its class is called, has, reads and writes.
pub(crate) struct Family {
    pub(crate) kind: ModelType,
    /// As `model_type` of `config.json`.
    pub(crate) model_type: &'static str,
    /// The beginning of the names of its classes.
    pub(crate) class: &'static str,
    /// Options of [`LlamaConfig`] that the class may have, of those in [`extras`].
    may: &'static [&'static str],
    /// Options that the class always has.
    must: &'static [&'static str],
    /// Keys of `config.json` that mean another function in other families.
    pub(crate) own_keys: &'static [&'static str],
    pub(crate) absent: Absent,
    /// Reads what is the family's own into a configuration of sizes.
    pub(crate) read: fn(&JsonConfig, LlamaConfig) -> Result<LlamaConfig, LoadError>,
    /// Writes what is the family's own into a `config.json` of sizes.
    write: fn(&LlamaConfig, &mut Map<String, Value>),
}

/// Options that not every family has, and whether a configuration sets them.
fn extras(c: &LlamaConfig) -> [(&'static str, bool); 7] {
    [
        ("attention_bias", c.attention_bias),
        ("layer_types", c.layer_types.is_some()),
        ("mlp_bias", c.mlp_bias),
        ("no_rope_layers", c.no_rope_layers.is_some()),
        ("qk_norm", c.qk_norm),
        ("qkv_bias", c.qkv_bias),
        ("sliding_window", c.sliding_window.is_some()),
    ]
}

impl Family {
    /// A family by its type.
    pub(crate) fn of(kind: ModelType) -> &'static Self {
        match kind {
            ModelType::Llama => &llama::FAMILY,
            ModelType::Mistral => &mistral::FAMILY,
            ModelType::Qwen2 => &qwen2::FAMILY,
            ModelType::Qwen3 => &qwen3::FAMILY,
            ModelType::SmolLm3 => &smollm3::FAMILY,
        }
    }

    /// The family that `config.json` names.
    pub(crate) fn named(model_type: &str) -> Option<&'static Self> {
        let mut all = ModelType::ALL.into_iter().map(Self::of);
        all.find(|family| family.model_type == model_type)
    }

    /// The classes of all families that end in `task`.
    pub(crate) fn classes(task: &str) -> String {
        let names = ModelType::ALL.map(|kind| format!("{}{task}", Self::of(kind).class));
        names.join(", ")
    }

    /// Refuses options that no folder of the family can say.
    pub(crate) fn check(&self, config: &LlamaConfig) -> Result<(), OptionError> {
        let names = "(model_type names the family; a sliding_window alone means a Mistral)";
        for (name, is_set) in extras(config) {
            let (may, must) = (self.may.contains(&name), self.must.contains(&name));
            let (value, allowed) = match is_set {
                true if !may && !must => ("set", format!("absent: a {} has none", self.class)),
                false if must => ("absent", format!("set: a {} has it", self.class)),
                _ => continue,
            };
            return Err(OptionError::new(name, value, &format!("{allowed} {names}")));
        }
        Ok(())
    }

    /// Turns the configuration's own keys, as serde writes them, into those of the family.
    pub(crate) fn write(&self, config: &LlamaConfig, json: &mut Map<String, Value>) {
        for key in ["layer_types", "no_rope_layers", "qk_norm", "qkv_bias"] {
            json.remove(key);
        }
        for (key, _) in extras(config) {
            if !self.may.contains(&key) {
                json.remove(key);
            }
        }
        (self.write)(config, json);
    }
}
