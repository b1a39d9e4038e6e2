//! Qwen2 and Qwen2.5: queries, keys and values have biases, but the output of the attention has
//! none.

use super::{Absent, Design, Family, Keys, ModelType, Names, RopeRules, windows};

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Qwen2,
    model_type: "qwen2",
    class: "Qwen2",
    may: &["head_dim", "layer_types", "sliding_window"],
    must: &["qkv_bias"],
    own_keys: &[],
    absent: Absent {
        max_position_embeddings: 32_768,
        num_key_value_heads: Some(32),
        ..Absent::LLAMA
    },
    design: Design::LLAMA,
    activations: &["silu", "swish"],
    keys: Keys::LLAMA,
    names: Names::LLAMA,
    rope: RopeRules::plain(1e4),
    has_reward: true,
    read: |json, mut config| {
        config.qkv_bias = true;
        windows::of_late_layers(json, config)
    },
    write: |config, json| {
        if config.head_dim.is_none() {
            json.remove("head_dim");
        }
        windows::write(config, json);
    },
};
