//! OLMo 2: norms after each part, and norms over all queries and over all keys.

use super::{Absent, Design, Family, Keys, ModelType, Names, RopeRules};
use crate::llama::design::{Placement, QkNorm};

pub(super) const DESIGN: Design = Design {
    placement: Placement::After,
    qk_norm: QkNorm::Width,
    ..Design::LLAMA
};

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Olmo2,
    model_type: "olmo2",
    class: "Olmo2",
    may: &["attention_bias", "head_dim"],
    must: &["qk_norm"],
    own_keys: &[],
    absent: Absent {
        rms_norm_eps: 1e-5,
        ..Absent::LLAMA
    },
    design: DESIGN,
    activations: &["silu", "swish"],
    keys: Keys::LLAMA,
    names: Names::LLAMA,
    rope: RopeRules::plain(1e4),
    has_reward: true,
    read: |json, mut config| {
        config.qk_norm = true;
        config.attention_bias = json.get("attention_bias")?.unwrap_or(false);
        Ok(config)
    },
    write: |config, json| {
        if config.head_dim.is_none() {
            json.remove("head_dim");
        }
    },
};
