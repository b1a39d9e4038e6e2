//! Llama: the family that the others are compared with.

use super::{Absent, Design, Family, Keys, ModelType, Names, RopeRules, windows};

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Llama,
    model_type: "llama",
    class: "Llama",
    may: &["head_dim", "attention_bias", "mlp_bias"],
    must: &[],
    own_keys: &[],
    absent: Absent::LLAMA,
    design: Design::LLAMA,
    activations: &["silu", "swish"],
    keys: Keys::LLAMA,
    names: Names::LLAMA,
    rope: RopeRules::plain(1e4),
    has_reward: true,
    read: |json, mut config| {
        config.sliding_window = windows::uniform(json, config.num_hidden_layers, false, None)?;
        config.attention_bias = json.get("attention_bias")?.unwrap_or(false);
        config.mlp_bias = json.get("mlp_bias")?.unwrap_or(false);
        Ok(config)
    },
    write: |_, _| {},
};
