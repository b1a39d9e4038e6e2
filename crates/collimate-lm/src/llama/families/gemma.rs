//! Gemma: norms by 1 + w, GeGLU, an embedding times the root of the width.

use super::{Absent, Design, Family, Keys, ModelType, Names, RopeRules};

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Gemma,
    model_type: "gemma",
    class: "Gemma",
    may: &["attention_bias", "head_dim"],
    must: &[],
    own_keys: &[],
    absent: Absent {
        max_position_embeddings: 8192,
        num_key_value_heads: Some(16),
        head_dim: Some(256),
        tie_word_embeddings: true,
        ..Absent::LLAMA
    },
    design: Design::GEMMA,
    // The first folders of this family name gelu but mean the form with a tanh.
    activations: &["gelu_pytorch_tanh", "gelu"],
    keys: Keys::LLAMA,
    names: Names::LLAMA,
    rope: RopeRules::plain(1e4),
    has_reward: true,
    read: |json, mut config| {
        json.only("hidden_activation", &["gelu_pytorch_tanh"])?;
        config.attention_bias = json.get("attention_bias")?.unwrap_or(false);
        Ok(config)
    },
    write: |_, _| {},
};
