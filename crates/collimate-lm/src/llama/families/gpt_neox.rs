//! GPT-NeoX, such as Pythia: layer norms and biases. Only a part of each head turns, and attention
//! and feed-forward layer run in parallel.

use serde_json::json;

use super::{Absent, Design, Family, Keys, LlamaConfig, ModelType, Names, RopeRules};
use crate::llama::design::{Activation, MlpKind, NormKind, Qkv};

const PARALLEL: &str = "use_parallel_residual";

pub(super) const FAMILY: Family = Family {
    kind: ModelType::GptNeoX,
    model_type: "gpt_neox",
    class: "GPTNeoX",
    may: &[
        "attention_bias",
        "mlp_bias",
        "partial_rotary_factor",
        PARALLEL,
    ],
    must: &["mlp_bias"],
    own_keys: &["rotary_pct", PARALLEL],
    absent: Absent {
        rms_norm_eps: 1e-5,
        ..Absent::LLAMA
    },
    design: Design {
        norm: NormKind::Layer,
        qkv: Qkv::ByHead,
        mlp: MlpKind::Plain,
        activation: Activation::Gelu,
        ..Design::LLAMA
    },
    activations: &["gelu"],
    keys: Keys {
        eps: "layer_norm_eps",
        ..Keys::LLAMA
    },
    names: Names::GPT_NEOX,
    rope: RopeRules::GPT_NEOX,
    has_reward: true,
    read: |json, config| {
        Ok(LlamaConfig {
            attention_bias: json.get("attention_bias")?.unwrap_or(true),
            mlp_bias: true,
            use_parallel_residual: json.get(PARALLEL)?.unwrap_or(true),
            ..config
        })
    },
    write: |config, json| {
        let part = config.partial_rotary_factor.unwrap_or(1.0);
        for (key, value) in [
            (PARALLEL, json!(config.use_parallel_residual)),
            ("rotary_pct", json!(part)),
            ("rotary_emb_base", json!(config.rope_theta)),
        ] {
            json.insert(key.to_owned(), value);
        }
        for key in [
            "mlp_bias",
            "num_key_value_heads",
            "partial_rotary_factor",
            "rope_theta",
        ] {
            json.remove(key);
        }
    },
};
