//! Mistral: a Llama with one window for all layers.

use serde_json::json;

use super::{Absent, Design, Family, Keys, ModelType, Names, RopeRules, windows};

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Mistral,
    model_type: "mistral",
    class: "Mistral",
    may: &["head_dim", "sliding_window"],
    must: &[],
    own_keys: &[],
    absent: Absent {
        max_position_embeddings: 131_072,
        num_key_value_heads: Some(8),
        ..Absent::LLAMA
    },
    design: Design::LLAMA,
    activations: &["silu", "swish"],
    keys: Keys::LLAMA,
    names: Names::LLAMA,
    rope: RopeRules::plain(1e4),
    has_reward: true,
    read: |json, mut config| {
        for key in ["attention_bias", "mlp_bias"] {
            if json.get(key)? == Some(true) {
                return Err(json.unsupported(format!("{key} = true in a Mistral"), "no biases"));
            }
        }
        config.sliding_window = windows::uniform(json, config.num_hidden_layers, true, Some(4096))?;
        // A sliding window without model_type already means a Mistral.
        config.model_type = config
            .model_type
            .filter(|_| config.sliding_window.is_none());
        Ok(config)
    },
    write: |config, json| {
        // An absent key would mean a window of 4096.
        json.insert("sliding_window".to_owned(), json!(config.sliding_window));
    },
};
