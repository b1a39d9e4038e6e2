//! Phi-3, Phi-3.5 and Phi-4 mini: one matrix for queries, keys and values, one for gate and up, and
//! LongRoPE.

use serde_json::json;

use super::{Absent, Design, Family, Keys, ModelType, Names, RopeRules, windows};
use crate::llama::design::{MlpKind, Qkv};
use crate::llama::rope::RopeScaling;

const PARTIAL: &str = "partial_rotary_factor";

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Phi3,
    model_type: "phi3",
    class: "Phi3",
    may: &["head_dim", "longrope", PARTIAL, "sliding_window"],
    must: &[],
    own_keys: &[PARTIAL],
    absent: Absent {
        rms_norm_eps: 1e-5,
        max_position_embeddings: 4096,
        ..Absent::LLAMA
    },
    design: Design {
        qkv: Qkv::Stacked,
        mlp: MlpKind::GatedStacked,
        ..Design::LLAMA
    },
    activations: &["silu", "swish"],
    keys: Keys::LLAMA,
    names: Names::LLAMA,
    rope: RopeRules::PHI3,
    has_reward: true,
    read: |json, mut config| {
        for key in ["attention_bias", "mlp_bias"] {
            if json.get(key)? == Some(true) {
                return Err(json.unsupported(format!("{key} = true in a Phi-3"), "no biases"));
            }
        }
        config.sliding_window = windows::uniform(json, config.num_hidden_layers, true, None)?;
        Ok(config)
    },
    write: |config, json| {
        if config.head_dim.is_none() {
            json.remove("head_dim");
        }
        let part = config.partial_rotary_factor.unwrap_or(1.0);
        json.insert(PARTIAL.to_owned(), json!(part));
        json.insert("sliding_window".to_owned(), json!(config.sliding_window));
        if let Some(RopeScaling::LongRope {
            original_max_position_embeddings: length,
            ..
        }) = config.rope_scaling
        {
            // Transformers reads the length only here.
            json.insert("original_max_position_embeddings".to_owned(), json!(length));
        }
    },
};
