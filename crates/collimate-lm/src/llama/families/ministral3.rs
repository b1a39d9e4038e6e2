//! Ministral 3, text model only: YaRN, and queries that grow with their position.

use serde_json::{Value, json};

use super::{Absent, Design, Family, Keys, ModelType, Names, RopeRules, rope_write, windows};
use crate::llama::rope::RopeScaling;

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Ministral3,
    model_type: "ministral3",
    class: "Ministral3",
    may: &["head_dim", "sliding_window"],
    must: &["llama_4_scaling_beta"],
    own_keys: &[],
    absent: Absent {
        rms_norm_eps: 1e-5,
        max_position_embeddings: 262_144,
        num_key_value_heads: Some(8),
        head_dim: Some(128),
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
                return Err(json.unsupported(format!("{key} = true in a Ministral 3"), "no biases"));
            }
        }
        config.sliding_window = windows::uniform(json, config.num_hidden_layers, true, None)?;
        let says_nothing = ["rope_parameters", "rope_scaling"].map(|key| json.value(key).is_none());
        if says_nothing == [true, true] {
            if json.value("rope_theta").is_none() {
                config.rope_theta = 1e6;
            }
            config.rope_scaling = Some(RopeScaling::Yarn {
                factor: 16.0,
                original_max_position_embeddings: 16_384,
                attention_factor: None,
                beta_fast: None,
                beta_slow: None,
                mscale: Some(1.0),
                mscale_all_dim: Some(1.0),
                truncate: None,
                llama_4_scaling_beta: Some(0.1),
            });
        }
        Ok(config)
    },
    write: |config, json| {
        json.insert("sliding_window".to_owned(), json!(config.sliding_window));
        rope_write::parameters(config, json);
        if let Some(Value::Object(rope)) = json.get_mut("rope_parameters") {
            let longest = config.max_position_embeddings;
            rope.insert("max_position_embeddings".to_owned(), json!(longest));
        }
    },
};
