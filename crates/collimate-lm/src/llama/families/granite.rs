//! Granite 3: a Llama with multipliers.

use serde_json::json;

use super::{Absent, Design, Family, Keys, LlamaConfig, ModelType, Names, RopeRules};

const EMBEDDING: &str = "embedding_multiplier";
const RESIDUAL: &str = "residual_multiplier";
const SCORES: &str = "attention_multiplier";
const LOGITS: &str = "logits_scaling";

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Granite,
    model_type: "granite",
    class: "Granite",
    may: &[
        "attention_bias",
        SCORES,
        EMBEDDING,
        "head_dim",
        LOGITS,
        "mlp_bias",
        RESIDUAL,
    ],
    must: &[],
    own_keys: &[EMBEDDING, RESIDUAL, SCORES, LOGITS],
    absent: Absent::LLAMA,
    design: Design::LLAMA,
    activations: &["silu", "swish"],
    keys: Keys::LLAMA,
    names: Names::LLAMA,
    rope: RopeRules::plain(1e4),
    has_reward: false,
    read: |json, config| {
        let factor = |key: &str| -> Result<Option<f64>, _> {
            let factor: Option<f64> = json.get(key)?;
            Ok(factor.filter(|&factor| factor != 1.0))
        };
        Ok(LlamaConfig {
            attention_bias: json.get("attention_bias")?.unwrap_or(false),
            mlp_bias: json.get("mlp_bias")?.unwrap_or(false),
            embedding_multiplier: factor(EMBEDDING)?,
            residual_multiplier: factor(RESIDUAL)?,
            // The multiplier is kept even if it is 1. Without it, the scores would be divided by a
            // root.
            attention_multiplier: Some(json.get(SCORES)?.unwrap_or(1.0)),
            logits_scaling: factor(LOGITS)?,
            ..config
        })
    },
    write: |config, json| {
        if config.head_dim.is_none() {
            json.remove("head_dim");
        }
        let root = (config.head_dim() as f64).powf(-0.5);
        for (key, value) in [
            (EMBEDDING, config.embedding_multiplier.unwrap_or(1.0)),
            (RESIDUAL, config.residual_multiplier.unwrap_or(1.0)),
            (SCORES, config.attention_multiplier.unwrap_or(root)),
            (LOGITS, config.logits_scaling.unwrap_or(1.0)),
        ] {
            json.insert(key.to_owned(), json!(value));
        }
    },
};
