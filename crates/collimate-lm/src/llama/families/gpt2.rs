//! GPT-2: layer norms, biases, positions that are learned, matrices stored the other way round.

use super::{Absent, Design, Family, Keys, LlamaConfig, ModelType, Names, RopeRules};
use crate::llama::design::{Activation, MlpKind, NormKind, Qkv};

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Gpt2,
    model_type: "gpt2",
    class: "GPT2",
    may: &["attention_bias", "mlp_bias"],
    must: &["attention_bias", "mlp_bias"],
    own_keys: &[],
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
    // Two names for one formula.
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
        json.neutral(&[("scale_attn_by_inverse_layer_idx", 0.0)])?;
        if json.get("scale_attn_weights")? == Some(false) {
            let what = "scale_attn_weights = false".to_owned();
            return Err(json.unsupported(what, "scores divided by the root of a head's size"));
        }
        Ok(LlamaConfig {
            attention_bias: true,
            mlp_bias: true,
            ..config
        })
    },
    write: |_, json| {
        for key in ["attention_bias", "mlp_bias", "num_key_value_heads"] {
            json.remove(key);
        }
        for key in ["rope_scaling", "rope_theta"] {
            json.remove(key);
        }
    },
};
