//! `config.json` of a Llama or Mistral: options that are not implemented are refused by name.

use collimate_nn::LoadError;

use super::config::LlamaConfig;
use super::rope::read_theta;
use crate::hf::JsonConfig;

/// Options with which relatives of the Llama compute another function, and the value that changes
/// nothing. Such a key in a Llama's folder means that the folder holds something else.
const FOREIGN: [(&str, f64); 23] = [
    ("attention_multiplier", f64::NAN),
    ("attn_logit_softcapping", f64::NAN),
    ("clip_qkv", f64::NAN),
    ("embedding_multiplier", 1.0),
    ("final_logit_softcapping", f64::NAN),
    ("full_attention_interval", f64::NAN),
    ("logit_scale", 1.0),
    ("logits_scaling", 1.0),
    ("moe_intermediate_size", 0.0),
    ("no_rope_layer_interval", 0.0),
    ("no_rope_layers", f64::NAN),
    ("num_experts", 0.0),
    ("num_local_experts", 0.0),
    ("parallel_attn", 0.0),
    ("partial_rotary_factor", 1.0),
    ("pruned_heads", 0.0),
    ("qk_layernorm", 0.0),
    ("query_pre_attn_scalar", f64::NAN),
    ("residual_multiplier", 1.0),
    ("rope_local_base_freq", f64::NAN),
    ("rotary_pct", 1.0),
    ("use_qk_norm", 0.0),
    ("use_qkv_bias", 0.0),
];

/// The window of all layers, `None` without one. Variants that would mean another function are
/// refused.
fn read_window(json: &JsonConfig, mistral: bool) -> Result<Option<usize>, LoadError> {
    let refuse = |what: String| {
        let supported = "one sliding_window for all layers of model_type mistral";
        Err(json.unsupported(what, supported))
    };
    let switch: Option<bool> = json.get("use_sliding_window")?;
    let window = match (json.get("sliding_window")?, switch) {
        // A Llama made of a Qwen2 may name a window that it switches off.
        (_, Some(false)) if !mistral => None,
        (_, Some(on)) => return refuse(format!("use_sliding_window = {on}")),
        (Some(window), None) if !mistral => {
            return refuse(format!("sliding_window = {window} in a Llama"));
        }
        // What transformers takes where a Mistral says nothing; null says that there is none.
        (None, None) if mistral && !json.has("sliding_window") => Some(4096),
        (window, None) => window,
    };
    let kind = match window {
        Some(_) => "sliding_attention",
        None => "full_attention",
    };
    let kinds: Vec<String> = json.get("layer_types")?.unwrap_or_default();
    if let Some(other) = kinds.iter().find(|other| *other != kind) {
        return refuse(format!("layer_types with {other} beside {kind}"));
    }
    Ok(window)
}

/// The configuration of a decoder.
pub(super) fn read_config(json: &JsonConfig) -> Result<LlamaConfig, LoadError> {
    json.not_quantised()?;
    let mistral = json.string("model_type")?.as_deref() == Some("mistral");
    let sliding_window = read_window(json, mistral)?;
    for key in ["attention_bias", "mlp_bias"] {
        if mistral && json.get(key)? == Some(true) {
            return Err(json.unsupported(format!("{key} = true in a Mistral"), "no biases"));
        }
    }
    json.only("hidden_act", &["silu", "swish"])?;
    json.neutral(&FOREIGN)?;
    if json.get("is_causal")? == Some(false) {
        return Err(json.unsupported("is_causal = false".to_owned(), "causal attention"));
    }
    if json.get("attention_dropout")?.unwrap_or(0.0) != 0.0 {
        tracing::warn!(
            "{}: attention_dropout is not applied in training",
            json.path.display()
        );
    }
    let hidden: usize = json.require("hidden_size")?;
    let heads: usize = json.require("num_attention_heads")?;
    let config = LlamaConfig {
        vocab_size: json.require("vocab_size")?,
        hidden_size: hidden,
        intermediate_size: json.require("intermediate_size")?,
        num_hidden_layers: json.require("num_hidden_layers")?,
        num_attention_heads: heads,
        num_key_value_heads: match json.get("num_key_value_heads")? {
            Some(count) => count,
            None if mistral && !json.has("num_key_value_heads") => 8,
            None => heads,
        },
        // Folders may spell out the size that follows from the others.
        head_dim: json
            .get("head_dim")?
            .filter(|&d: &usize| d.checked_mul(heads) != Some(hidden)),
        max_position_embeddings: match json.get("max_position_embeddings")? {
            Some(length) => length,
            None if mistral => 131_072,
            None => 2048,
        },
        rms_norm_eps: json.get("rms_norm_eps")?.unwrap_or(1e-6),
        sliding_window,
        rope_theta: read_theta(json)?,
        tie_word_embeddings: json.get("tie_word_embeddings")?.unwrap_or(false),
        attention_bias: json.get("attention_bias")?.unwrap_or(false),
        mlp_bias: json.get("mlp_bias")?.unwrap_or(false),
        initializer_range: json.get("initializer_range")?.unwrap_or(0.02),
        bos_token_id: json.token_id("bos_token_id")?,
        eos_token_id: json.token_id("eos_token_id")?,
        pad_token_id: json.token_id("pad_token_id")?,
    };
    config.check().map_err(|error| json.invalid(error))?;
    Ok(config)
}
