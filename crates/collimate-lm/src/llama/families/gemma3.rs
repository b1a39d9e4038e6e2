//! Gemma 3, text model only: norms of queries and keys, and separate rotary positions for layers
//! with windows.

use super::{
    Absent, Design, Family, Keys, LlamaConfig, ModelType, Names, RopeRules, gemma2, rope_write,
    windows,
};
use crate::llama::design::Placement;

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Gemma3,
    model_type: "gemma3_text",
    class: "Gemma3",
    may: &[
        "attention_bias",
        "final_logit_softcapping",
        "head_dim",
        "layer_types",
        "query_pre_attn_scalar",
        "sliding_rope",
        "sliding_window",
    ],
    must: &["qk_norm"],
    own_keys: &[
        "final_logit_softcapping",
        "query_pre_attn_scalar",
        "rope_local_base_freq",
    ],
    absent: Absent {
        max_position_embeddings: 131_072,
        num_key_value_heads: Some(4),
        head_dim: Some(256),
        tie_word_embeddings: true,
        ..Absent::LLAMA
    },
    design: Design {
        placement: Placement::Both,
        ..Design::GEMMA
    },
    activations: &["gelu_pytorch_tanh"],
    keys: Keys {
        activation: "hidden_activation",
        ..Keys::LLAMA
    },
    names: Names::LLAMA,
    rope: RopeRules::GEMMA3,
    has_reward: true,
    read: |json, config| {
        let config = gemma2::read_scores(json, config, [None, None])?;
        let config = LlamaConfig {
            qk_norm: true,
            ..config
        };
        let pattern: usize = json.get("sliding_window_pattern")?.unwrap_or(6);
        if pattern == 0 {
            return Err(json.invalid("sliding_window_pattern is 0 but must be at least 1"));
        }
        let slides = |layer: usize| !(layer + 1).is_multiple_of(pattern);
        windows::always(json, config, 4096, slides)
    },
    write: |config, json| {
        gemma2::write_scores(config, json);
        windows::write_always(config, json);
        rope_write::by_kind(config, json, Some("rope_local_base_freq"));
    },
};
