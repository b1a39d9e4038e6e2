//! Reading of a decoder's `config.json`. Options that are not implemented are refused by name.

use std::path::Path;

use collimate_nn::LoadError;

use super::config::LlamaConfig;
use super::families::{Family, ModelType, Task};
use super::rope_read::read_rope;
use crate::hf::JsonConfig;

/// Options that change the function in some family, each with the value that changes nothing. A
/// family that does not own a key refuses every other value.
const FOREIGN: [(&str, f64); 27] = [
    ("add_cross_attention", 0.0),
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
    ("scale_attn_by_inverse_layer_idx", 0.0),
    ("use_qk_norm", 0.0),
    ("use_bidirectional_attention", 0.0),
    ("use_parallel_residual", 0.0),
    ("use_qkv_bias", 0.0),
];

/// Keys of dropout that other programs apply in training.
const DROPOUTS: [&str; 5] = [
    "attention_dropout",
    "attn_pdrop",
    "embd_pdrop",
    "hidden_dropout",
    "resid_pdrop",
];

impl LlamaConfig {
    /// Reads the `config.json` of a folder, without the weights.
    ///
    /// # Errors
    /// The file cannot be read, or the family or an option is not implemented.
    pub fn of_folder(dir: &Path) -> Result<Self, LoadError> {
        read_config(&JsonConfig::read(dir)?)
    }
}

/// Reads the configuration of a decoder.
pub(super) fn read_config(json: &JsonConfig) -> Result<LlamaConfig, LoadError> {
    json.not_quantised()?;
    let name = json.string("model_type")?.unwrap_or_default();
    let family = Family::named(&name).ok_or_else(|| {
        json.unsupported(
            format!("model_type {name}"),
            &Family::classes(Task::CausalLm),
        )
    })?;
    let keys = &family.keys;
    json.only(keys.activation, family.activations)?;
    json.only("hidden_act", family.activations)?;
    let foreign = FOREIGN.into_iter();
    let foreign = foreign.filter(|(key, _)| !family.own_keys.contains(key));
    json.neutral(&foreign.collect::<Vec<_>>())?;
    if json.get("is_causal")? == Some(false) {
        return Err(json.unsupported("is_causal = false".to_owned(), "causal attention"));
    }
    for key in DROPOUTS {
        if json.get(key)?.unwrap_or(0.0) != 0.0 {
            tracing::warn!("{}: {key} is not applied in training", json.path.display());
        }
    }
    let hidden: usize = json.require(keys.hidden_size)?;
    let heads: usize = json.require(keys.num_attention_heads)?;
    let absent = &family.absent;
    let max_position_embeddings = json
        .get(keys.max_position_embeddings)?
        .unwrap_or(absent.max_position_embeddings);
    let rope = read_rope(json, &family.rope, max_position_embeddings)?;
    let config = LlamaConfig {
        model_type: Some(family.kind).filter(|kind| *kind != ModelType::Llama),
        vocab_size: json.require("vocab_size")?,
        hidden_size: hidden,
        intermediate_size: match (json.get(keys.intermediate_size)?, absent.four_times_wide) {
            (None, true) => hidden.saturating_mul(4),
            (Some(size), _) => size,
            (None, false) => json.require(keys.intermediate_size)?,
        },
        num_hidden_layers: json.require(keys.num_hidden_layers)?,
        num_attention_heads: heads,
        num_key_value_heads: match json.get("num_key_value_heads")? {
            Some(count) => count,
            None if json.has("num_key_value_heads") => heads,
            None => absent.num_key_value_heads.unwrap_or(heads),
        },
        // Folders may state a head size that already follows from the other sizes.
        head_dim: json
            .get("head_dim")?
            .or(absent.head_dim)
            .filter(|&d: &usize| d.checked_mul(heads) != Some(hidden)),
        max_position_embeddings,
        rms_norm_eps: json.get(keys.eps)?.unwrap_or(absent.rms_norm_eps),
        rope_theta: rope.all.rope_theta,
        rope_scaling: rope.all.rope_scaling,
        sliding_rope: rope.sliding,
        partial_rotary_factor: rope.partial,
        tie_word_embeddings: json
            .get("tie_word_embeddings")?
            .unwrap_or(absent.tie_word_embeddings),
        initializer_range: json.get("initializer_range")?.unwrap_or(0.02),
        bos_token_id: json.token_id("bos_token_id")?,
        eos_token_id: json.token_id("eos_token_id")?,
        pad_token_id: json.token_id("pad_token_id")?,
        ..LlamaConfig::default()
    };
    let config = (family.read)(json, config)?;
    config.check().map_err(|error| json.invalid(error))?;
    for (key, id) in [
        ("bos_token_id", config.bos_token_id),
        ("eos_token_id", config.eos_token_id),
        ("pad_token_id", config.pad_token_id),
    ] {
        if let Some(id) = id.filter(|&id| id as usize >= config.vocab_size) {
            tracing::warn!(
                "{}: {key} = {id} is not a token of the model, whose vocab_size is {}",
                json.path.display(),
                config.vocab_size
            );
        }
    }
    Ok(config)
}
