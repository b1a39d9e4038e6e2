//! OLMo 3: OLMo 2 with a window in three of four layers. Positions are scaled only in the others.

use super::{Absent, Family, Keys, ModelType, Names, RopeRules, olmo2, rope_write, windows};

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Olmo3,
    model_type: "olmo3",
    class: "Olmo3",
    may: &[
        "attention_bias",
        "head_dim",
        "layer_types",
        "sliding_rope",
        "sliding_window",
    ],
    must: &["qk_norm"],
    own_keys: &[],
    absent: Absent {
        rms_norm_eps: 1e-5,
        ..Absent::LLAMA
    },
    design: olmo2::DESIGN,
    activations: &["silu", "swish"],
    keys: Keys::LLAMA,
    names: Names::LLAMA,
    rope: RopeRules::OLMO3,
    has_reward: true,
    read: |json, mut config| {
        config.qk_norm = true;
        config.attention_bias = json.get("attention_bias")?.unwrap_or(false);
        windows::always(json, config, 4096, |layer| (layer + 1) % 4 != 0)
    },
    write: |config, json| {
        if config.head_dim.is_none() {
            json.remove("head_dim");
        }
        windows::write_always(config, json);
        rope_write::by_kind(config, json, None);
    },
};
