//! Qwen3: queries and keys are normalised over each head. The head size has its own key.

use super::{Absent, Design, Family, Keys, ModelType, Names, RopeRules, windows};

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Qwen3,
    model_type: "qwen3",
    class: "Qwen3",
    may: &[
        "head_dim",
        "attention_bias",
        "layer_types",
        "sliding_window",
    ],
    must: &["qk_norm"],
    own_keys: &[],
    absent: Absent {
        max_position_embeddings: 32_768,
        num_key_value_heads: Some(32),
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
        config.qk_norm = true;
        config.attention_bias = json.get("attention_bias")?.unwrap_or(false);
        windows::of_late_layers(json, config)
    },
    write: windows::write,
};
