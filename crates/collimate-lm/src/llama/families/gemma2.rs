//! Gemma 2: norms around each part, bounded scores and logits, a window in every other layer.

use serde_json::{Map, Value, json};

use super::{Absent, Design, Family, Keys, LlamaConfig, ModelType, Names, RopeRules, windows};
use crate::hf::JsonConfig;
use crate::llama::design::Placement;
use collimate_nn::LoadError;

const SCALAR: &str = "query_pre_attn_scalar";
const SCORES: &str = "attn_logit_softcapping";
const LOGITS: &str = "final_logit_softcapping";

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Gemma2,
    model_type: "gemma2",
    class: "Gemma2",
    may: &[
        "attention_bias",
        SCORES,
        LOGITS,
        "head_dim",
        "layer_types",
        SCALAR,
        "sliding_window",
    ],
    must: &[],
    own_keys: &[SCALAR, SCORES, LOGITS],
    absent: Absent {
        max_position_embeddings: 8192,
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
    rope: RopeRules::plain(1e4),
    has_reward: true,
    read: |json, config| {
        let config = read_scores(json, config, [Some(50.0), Some(30.0)])?;
        windows::always(json, config, 4096, |layer| layer % 2 == 0)
    },
    write: |config, json| {
        write_scores(config, json);
        windows::write_always(config, json);
    },
};

/// Reads the scale and the bounds of scores and logits.
pub(super) fn read_scores(
    json: &JsonConfig,
    config: LlamaConfig,
    caps: [Option<f64>; 2],
) -> Result<LlamaConfig, LoadError> {
    let cap = |key: &str, absent: Option<f64>| match json.has(key) {
        true => json.get(key),
        false => Ok(absent),
    };
    Ok(LlamaConfig {
        attention_bias: json.get("attention_bias")?.unwrap_or(false),
        query_pre_attn_scalar: Some(json.get(SCALAR)?.unwrap_or(256.0)),
        attn_logit_softcapping: cap(SCORES, caps[0])?,
        final_logit_softcapping: cap(LOGITS, caps[1])?,
        ..config
    })
}

/// Writes keys whose default would differ from the configuration.
pub(super) fn write_scores(config: &LlamaConfig, json: &mut Map<String, Value>) {
    let scalar = config.query_pre_attn_scalar;
    let scalar = scalar.unwrap_or(config.head_dim() as f64);
    // Transformers requires a whole number here.
    let whole = scalar.fract() == 0.0 && scalar < 1e15;
    let value = if whole {
        json!(scalar as u64)
    } else {
        json!(scalar)
    };
    json.insert(SCALAR.to_owned(), value);
    json.insert(SCORES.to_owned(), json!(config.attn_logit_softcapping));
    json.insert(LOGITS.to_owned(), json!(config.final_logit_softcapping));
}
