//! GPT-2: layer norms, biases, learned positions, matrices stored transposed.

use serde_json::json;

use super::{Absent, Design, Family, Keys, LlamaConfig, ModelType, Names, RopeRules};
use crate::llama::design::{Activation, MlpKind, NormKind, Qkv};

const SCALED: &str = "scale_attn_weights";
const BY_LAYER: &str = "scale_attn_by_inverse_layer_idx";

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Gpt2,
    model_type: "gpt2",
    class: "GPT2",
    may: &[
        "attention_bias",
        "attention_multiplier",
        "mlp_bias",
        BY_LAYER,
    ],
    must: &["attention_bias", "mlp_bias"],
    own_keys: &[BY_LAYER],
    absent: Absent {
        rms_norm_eps: 1e-5,
        max_position_embeddings: 1024,
        tie_word_embeddings: true,
        four_times_wide: true,
        ..Absent::LLAMA
    },
    design: Design {
        norm: NormKind::Layer,
        qkv: Qkv::Stacked,
        mlp: MlpKind::Plain,
        activation: Activation::GeluTanh,
        learned_positions: true,
        ..Design::LLAMA
    },
    // Both names stand for the same formula.
    activations: &["gelu_new", "gelu_pytorch_tanh"],
    keys: Keys {
        hidden_size: "n_embd",
        intermediate_size: "n_inner",
        num_hidden_layers: "n_layer",
        num_attention_heads: "n_head",
        max_position_embeddings: "n_positions",
        eps: "layer_norm_epsilon",
        activation: "activation_function",
    },
    names: Names::GPT2,
    rope: RopeRules::plain(1e4),
    has_reward: true,
    read: |json, config| {
        let is_scaled = json.get(SCALED)?.unwrap_or(true);
        Ok(LlamaConfig {
            attention_multiplier: (!is_scaled).then_some(1.0),
            scale_attn_by_inverse_layer_idx: json.get(BY_LAYER)?.unwrap_or(false),
            attention_bias: true,
            mlp_bias: true,
            ..config
        })
    },
    write: |config, json| {
        // The class in transformers supports only these two multipliers.
        json.insert(
            SCALED.to_owned(),
            json!(config.attention_multiplier.is_none()),
        );
        json.insert(
            BY_LAYER.to_owned(),
            json!(config.scale_attn_by_inverse_layer_idx),
        );
        json.remove("attention_multiplier");
        for key in ["attention_bias", "mlp_bias", "num_key_value_heads"] {
            json.remove(key);
        }
        for key in ["rope_scaling", "rope_theta"] {
            json.remove(key);
        }
    },
};
