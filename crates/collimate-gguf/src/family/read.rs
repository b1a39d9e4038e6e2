//! `config.json` of the model in a GGUF file.

use serde_json::{Map, Value, json};

use super::arch::{Arch, READ};
use super::keys::Keys;
use super::rope;
use super::slots::{AttentionBias, Sizes, Slot};
use crate::{Gguf, GgufError};

/// Key of the architecture.
pub(crate) const ARCHITECTURE: &str = "general.architecture";
/// Tensors that only repeat numbers of the metadata.
const DERIVED: [&str; 2] = [".attn_rot_embd.weight", ".rotary_emb.inv_freq"];

/// Values that only some architectures use.
const FOR_GEMMA: [&str; 5] = [
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "rope.freq_base_swa",
];

/// Reads the architecture.
pub(crate) fn arch(gguf: &Gguf) -> Result<Arch, GgufError> {
    let wrong = |message: &str| GgufError::metadata(gguf.path(), ARCHITECTURE, message);
    let value = gguf.get(ARCHITECTURE).ok_or_else(|| wrong("is missing"))?;
    let name = value.as_str().ok_or_else(|| wrong("is not a text"))?;
    let kind = gguf.get("general.type").and_then(|value| value.as_str());
    if let Some(kind) = kind.filter(|kind| *kind != "model") {
        let message = format!("the file holds the kind {kind}, but only kind model is read");
        return Err(GgufError::unsupported(gguf.path(), message));
    }
    Arch::from_name(name).ok_or_else(|| {
        let message = format!("the architecture {name} is not read: the model must be {READ}");
        GgufError::unsupported(gguf.path(), message)
    })
}

/// Reads the numbers that determine the tensors, and compares all tensors with them.
pub(crate) fn sizes(keys: &Keys<'_>) -> Result<(Sizes, Vec<Slot>), GgufError> {
    keys.check_known()?;
    let gguf = keys.gguf;
    let has = |name: &str| gguf.tensor(name).is_some();
    let embedding = gguf.tensor("token_embd.weight");
    let embedding = embedding.ok_or_else(|| gguf.wrong("token_embd.weight", "is missing"))?;
    let hidden = keys.need_count("embedding_length")?;
    let heads = keys.need_count("attention.head_count")?;
    let head_dim = match keys.count("attention.key_length")? {
        Some(length) => length,
        None => hidden.checked_div(heads).unwrap_or(0),
    };
    for name in ["attention.value_length", "rope.dimension_count"] {
        if keys.count(name)?.is_some_and(|other| other != head_dim) {
            let message = format!("is not {head_dim}, the length of a head of a query");
            return Err(keys.wrong(name, message));
        }
    }
    let sizes = Sizes {
        arch: keys.arch,
        layers: keys.need_count("block_count")?,
        hidden,
        inner: keys.need_count("feed_forward_length")?,
        heads,
        kv_heads: keys.count("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        vocab: embedding.shape[0],
        tied: !has("output.weight"),
        attention_bias: match (keys.arch, has("blk.0.attn_q.bias")) {
            (Arch::Qwen2, _) => AttentionBias::Inputs,
            (Arch::Llama | Arch::Qwen3, true) => AttentionBias::All,
            _ => AttentionBias::None,
        },
        mlp_bias: keys.arch == Arch::Llama && has("blk.0.ffn_gate.bias"),
    };
    let wrong = |(name, message): (&str, String)| {
        GgufError::unsupported(gguf.path(), format!("{name} of the model {message}"))
    };
    sizes.check().map_err(wrong)?;
    if keys
        .count("vocab_size")?
        .is_some_and(|count| count != sizes.vocab)
    {
        let message = format!(
            "is not {}, the number of rows of token_embd.weight",
            sizes.vocab
        );
        return Err(keys.wrong("vocab_size", message));
    }
    // A damaged count of layers must not create a long list.
    if sizes.layers > gguf.tensors().len() {
        let message = format!("is {}, more than the file has tensors", sizes.layers);
        return Err(keys.wrong("block_count", message));
    }
    let slots = sizes.slots();
    compare(gguf, keys.arch, &slots)?;
    Ok((sizes, slots))
}

/// Checks that the file has exactly the tensors of the model.
fn compare(gguf: &Gguf, arch: Arch, slots: &[Slot]) -> Result<(), GgufError> {
    let mut known = std::collections::HashSet::new();
    for slot in slots {
        let info = gguf.tensor(&slot.gguf);
        let info = info.ok_or_else(|| gguf.wrong(&slot.gguf, "is missing"))?;
        if info.shape != slot.shape {
            let message = format!(
                "has the shape {:?} but must have {:?}",
                info.shape, slot.shape
            );
            return Err(gguf.wrong(&slot.gguf, message));
        }
        known.insert(slot.gguf.as_str());
    }
    for info in gguf.tensors() {
        let name = info.name.as_str();
        let derived = name == rope::FACTORS || DERIVED.iter().any(|end| name.ends_with(end));
        if !derived && !known.contains(name) {
            let message = format!("is not known in the architecture {arch}");
            return Err(gguf.wrong(name, message));
        }
    }
    Ok(())
}

/// Returns `config.json` without the ids of tokens.
pub(crate) fn config(keys: &Keys<'_>, sizes: &Sizes) -> Result<Map<String, Value>, GgufError> {
    let arch = keys.arch;
    let theta = keys.positive("rope.freq_base")?.unwrap_or(10_000.0);
    let context = keys.need_count("context_length")?;
    let (mut class, mut model_type) = arch.class();
    let window = keys
        .count("attention.sliding_window")?
        .filter(|window| *window > 0);
    if arch == Arch::Llama && window.is_some() {
        (class, model_type) = ("MistralForCausalLM", "mistral");
    }
    let other: &[&str] = match arch {
        Arch::Llama => &FOR_GEMMA[1..],
        Arch::Qwen2 | Arch::Qwen3 | Arch::Gemma => &FOR_GEMMA,
        Arch::Gemma2 => &["rope.freq_base_swa"],
        Arch::Gemma3 => &["attn_logit_softcapping"],
    };
    if let Some(name) = other.iter().find(|name| keys.get(name).is_some()) {
        return Err(keys.wrong(name, format!("is not read for the architecture {arch}")));
    }
    let mut config = Map::new();
    let mut set = |name: &str, value: Value| config.insert(name.to_owned(), value);
    set("architectures", json!([class]));
    set("model_type", json!(model_type));
    set("vocab_size", json!(sizes.vocab));
    set("hidden_size", json!(sizes.hidden));
    set("intermediate_size", json!(sizes.inner));
    set("num_hidden_layers", json!(sizes.layers));
    set("num_attention_heads", json!(sizes.heads));
    set("num_key_value_heads", json!(sizes.kv_heads));
    set("head_dim", json!(sizes.head_dim));
    set("max_position_embeddings", json!(context));
    let epsilon = keys.need_positive("attention.layer_norm_rms_epsilon")?;
    set("rms_norm_eps", json!(epsilon));
    set("rope_theta", json!(theta));
    set("rope_scaling", rope::read(keys, theta, sizes.head_dim)?);
    set("tie_word_embeddings", json!(sizes.tied));
    set("attention_dropout", json!(0.0));
    set("use_cache", json!(true));
    let activation = match arch.is_gemma() {
        true => "gelu_pytorch_tanh",
        false => "silu",
    };
    set("hidden_act", json!(activation));
    match arch {
        Arch::Llama => {
            set(
                "attention_bias",
                json!(sizes.attention_bias == AttentionBias::All),
            );
            set("mlp_bias", json!(sizes.mlp_bias));
            if let Some(window) = window {
                set("sliding_window", json!(window));
            }
        }
        Arch::Qwen2 | Arch::Qwen3 => {
            if arch == Arch::Qwen3 {
                set(
                    "attention_bias",
                    json!(sizes.attention_bias == AttentionBias::All),
                );
            }
            set("use_sliding_window", json!(false));
        }
        Arch::Gemma | Arch::Gemma2 | Arch::Gemma3 => {
            set("hidden_activation", json!(activation));
            set("attention_bias", json!(false));
        }
    }
    if arch.has_post_norms() {
        gemma(keys, sizes, window, &mut config)?;
    }
    Ok(config)
}

/// Adds the values of Gemma 2 and Gemma 3.
fn gemma(
    keys: &Keys<'_>,
    sizes: &Sizes,
    window: Option<usize>,
    config: &mut Map<String, Value>,
) -> Result<(), GgufError> {
    let mut set = |name: &str, value: Value| config.insert(name.to_owned(), value);
    let attention_cap = keys.positive("attn_logit_softcapping")?;
    let final_cap = keys.positive("final_logit_softcapping")?;
    let window = match keys.arch {
        Arch::Gemma2 => {
            set(
                "attn_logit_softcapping",
                json!(attention_cap.unwrap_or(50.0)),
            );
            set("final_logit_softcapping", json!(final_cap.unwrap_or(30.0)));
            Some(window.unwrap_or(4096))
        }
        _ => {
            set("attn_logit_softcapping", Value::Null);
            set("final_logit_softcapping", json!(final_cap));
            let local = keys.positive("rope.freq_base_swa")?.unwrap_or(10_000.0);
            set("rope_local_base_freq", json!(local));
            window
        }
    };
    let scalar = match keys.arch.layers_with_other_scale() == Some(sizes.layers) {
        true => sizes.hidden / sizes.heads,
        false => sizes.head_dim,
    };
    set("query_pre_attn_scalar", json!(scalar));
    let slides = slides(keys, sizes.layers, window.is_some())?;
    let name = |slides: &bool| match slides {
        true => "sliding_attention",
        false => "full_attention",
    };
    set(
        "layer_types",
        json!(slides.iter().map(name).collect::<Vec<_>>()),
    );
    if let Some(window) = window {
        set("sliding_window", json!(window));
    }
    Ok(())
}

/// Returns for each layer if the layer has a sliding window.
fn slides(keys: &Keys<'_>, layers: usize, has_window: bool) -> Result<Vec<bool>, GgufError> {
    const PATTERN: &str = "attention.sliding_window_pattern";
    if !has_window {
        return Ok(vec![false; layers]);
    }
    let period = match keys.get(PATTERN) {
        None => keys.arch.window_period().unwrap_or(1),
        Some(value) => match value.as_array() {
            Some(crate::MetadataArray::Bool(list)) if list.len() == layers => {
                return Ok(list.clone());
            }
            None if value.as_u64().is_some_and(|period| period > 0) => value.as_u64().unwrap_or(1),
            _ => return Err(keys.wrong(PATTERN, "is neither a period nor one truth value a layer")),
        },
    };
    let last = |layer: usize| (layer as u64 + 1).is_multiple_of(period);
    Ok((0..layers).map(|layer| !last(layer)).collect())
}
