//! Metadata of a model with a `config.json`.

use serde_json::Value;

use super::arch::{Arch, READ};
use super::config::Json;
use super::rope_write::rope;
use super::slots::{AttentionBias, Sizes};
use crate::{GgufError, MetadataValue};

/// Name of the file with the numbers of a model.
pub(crate) const CONFIG: &str = "config.json";

/// Numbers and metadata of a model.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) sizes: Sizes,
    /// Values `ARCHITECTURE.NAME`.
    pub(crate) metadata: Vec<(String, MetadataValue)>,
    /// Values of the tensor that divides the rotary frequencies, with its name.
    pub(crate) factors: Option<(&'static str, Vec<f32>)>,
}

/// Keys that change the function of a model in a way that llama.cpp does not compute, and the value
/// that changes nothing.
const NEUTRAL: &[(&str, f64)] = &[
    ("embedding_multiplier", 1.0),
    ("logits_scaling", 1.0),
    ("no_rope_layer_interval", 0.0),
    ("num_experts", 0.0),
    ("num_local_experts", 0.0),
    ("partial_rotary_factor", 1.0),
    ("residual_multiplier", 1.0),
    ("use_qk_norm", 0.0),
    ("use_bidirectional_attention", 0.0),
    ("use_sliding_window", 0.0),
];

/// Reads `config.json`.
pub(crate) fn model(config: &Value) -> Result<Model, GgufError> {
    let json = Json {
        file: CONFIG,
        object: config,
    };
    let model_type = json.text("model_type")?;
    let model_type = model_type.ok_or_else(|| json.wrong("model_type", "is missing"))?;
    let arch = Arch::from_model_type(model_type).ok_or_else(|| {
        let message =
            format!("is {model_type}, but the model must be mistral, gemma3_text, {READ}");
        json.wrong("model_type", message)
    })?;
    check(&json, arch)?;
    let sizes = sizes(&json, arch)?;
    let mut model = Model {
        sizes,
        metadata: Vec::new(),
        factors: None,
    };
    let context = json.need_count("max_position_embeddings")?;
    model.count("block_count", sizes.layers);
    model.count("context_length", context);
    model.count("embedding_length", sizes.hidden);
    model.count("feed_forward_length", sizes.inner);
    model.count("attention.head_count", sizes.heads);
    model.count("attention.head_count_kv", sizes.kv_heads);
    model.count("attention.key_length", sizes.head_dim);
    model.count("attention.value_length", sizes.head_dim);
    model.number(
        "attention.layer_norm_rms_epsilon",
        json.need_number("rms_norm_eps")?,
    );
    model.count("vocab_size", sizes.vocab);
    if arch == Arch::Llama {
        model.count("rope.dimension_count", sizes.head_dim);
    }
    windows(&json, &mut model, model_type, context)?;
    rope(&json, &mut model, context)?;
    Ok(model)
}

impl Model {
    pub(crate) fn set(&mut self, name: &str, value: MetadataValue) {
        self.metadata
            .push((format!("{}.{name}", self.sizes.arch), value));
    }

    /// Adds a count. [`Json::count`] has checked that the count fits into 32 bits.
    pub(crate) fn count(&mut self, name: &str, count: usize) {
        self.set(name, MetadataValue::U32(count as u32));
    }

    pub(crate) fn number(&mut self, name: &str, number: f64) {
        self.set(name, MetadataValue::F32(number as f32));
    }
}

/// Refuses values that llama.cpp cannot honour.
fn check(json: &Json<'_>, arch: Arch) -> Result<(), GgufError> {
    for (key, neutral) in NEUTRAL {
        let Some(value) = json.get(key) else {
            continue;
        };
        let truth = value.as_bool().map(|truth| f64::from(u8::from(truth)));
        if value.as_f64().or(truth) != Some(*neutral) {
            let message = format!("is {value}, which llama.cpp does not compute for {arch}");
            return Err(json.wrong(key, message));
        }
    }
    if arch.is_gemma() {
        // The first configs of Gemma say gelu and mean the tanh form.
        json.only("hidden_act", &["gelu_pytorch_tanh", "gelu"])?;
        json.only("hidden_activation", &["gelu_pytorch_tanh"])
    } else {
        json.only("hidden_act", &["silu"])
    }
}

fn sizes(json: &Json<'_>, arch: Arch) -> Result<Sizes, GgufError> {
    let hidden = json.need_count("hidden_size")?;
    let heads = json.need_count("num_attention_heads")?;
    let head_dim = match (json.count("head_dim")?, arch) {
        (Some(length), _) => length,
        (None, Arch::Llama | Arch::Qwen2) => hidden.checked_div(heads).unwrap_or(0),
        (None, _) => return Err(json.wrong("head_dim", "is missing")),
    };
    let bias = json.truth("attention_bias")?.unwrap_or(false);
    if bias && arch != Arch::Llama {
        let message = format!("is true, but llama.cpp has no such biases for {arch}");
        return Err(json.wrong("attention_bias", message));
    }
    let sizes = Sizes {
        arch,
        layers: json.need_count("num_hidden_layers")?,
        hidden,
        inner: json.need_count("intermediate_size")?,
        heads,
        kv_heads: json.count("num_key_value_heads")?.unwrap_or(heads),
        head_dim,
        vocab: json.need_count("vocab_size")?,
        tied: json
            .truth("tie_word_embeddings")?
            .unwrap_or(arch.is_gemma()),
        attention_bias: match (arch, bias) {
            (Arch::Qwen2, _) => AttentionBias::Inputs,
            (_, true) => AttentionBias::All,
            (_, false) => AttentionBias::None,
        },
        mlp_bias: arch == Arch::Llama && json.truth("mlp_bias")?.unwrap_or(false),
    };
    if arch.is_gemma() && !sizes.tied {
        let message = format!("is false, but llama.cpp ties the embeddings of {arch}");
        return Err(json.wrong("tie_word_embeddings", message));
    }
    if let Err((key, message)) = sizes.check() {
        return Err(json.wrong(key, message));
    }
    if arch == Arch::Qwen2 && heads * head_dim != hidden {
        let message =
            "times num_attention_heads is not hidden_size, which llama.cpp needs for qwen2";
        return Err(json.wrong("head_dim", message));
    }
    Ok(sizes)
}

/// Adds sliding windows, soft caps and the scale of the attention scores.
fn windows(
    json: &Json<'_>,
    model: &mut Model,
    model_type: &str,
    context: usize,
) -> Result<(), GgufError> {
    let sizes = model.sizes;
    let window = json.count("sliding_window")?;
    if model_type == "mistral" && window.is_some_and(|window| window < context) {
        let message = "is below max_position_embeddings, but llama.cpp has no sliding window for \
                       mistral: set max_position_embeddings to the window, or the window to null";
        return Err(json.wrong("sliding_window", message));
    }
    let Some(period) = sizes.arch.window_period() else {
        return Ok(());
    };
    for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
        match (json.number(key)?, sizes.arch) {
            (Some(cap), Arch::Gemma2) if cap > 0.0 => model.number(key, cap),
            // llama.cpp has a default for Gemma 2 and no way to say that there is no cap.
            (None, Arch::Gemma2) => return Err(json.wrong(key, "is missing")),
            (None, _) => (),
            (Some(cap), _) => {
                let message = format!("is {cap}, which llama.cpp does not compute");
                return Err(json.wrong(key, message));
            }
        }
    }
    let window = window.ok_or_else(|| json.wrong("sliding_window", "is missing"))?;
    model.count("attention.sliding_window", window);
    let expected = match sizes.arch.layers_with_other_scale() == Some(sizes.layers) {
        true => sizes.hidden / sizes.heads,
        false => sizes.head_dim,
    };
    let scalar = json.number("query_pre_attn_scalar")?.unwrap_or(256.0);
    if scalar != expected as f64 {
        let message = format!("is {scalar}, but llama.cpp computes with {expected}");
        return Err(json.wrong("query_pre_attn_scalar", message));
    }
    layer_types(json, sizes.layers, period)
}

/// Checks that every last layer of a period has full attention, and all others have a window.
fn layer_types(json: &Json<'_>, layers: usize, period: u64) -> Result<(), GgufError> {
    let pattern = json.count("sliding_window_pattern")?;
    if pattern.is_some_and(|pattern| pattern as u64 != period) {
        let message = format!("is not {period}, the pattern of llama.cpp");
        return Err(json.wrong("sliding_window_pattern", message));
    }
    let Some(types) = json.get("layer_types") else {
        return Ok(());
    };
    let name = |layer: usize| match (layer as u64 + 1).is_multiple_of(period) {
        true => "full_attention",
        false => "sliding_attention",
    };
    let same = |types: &Vec<Value>| {
        types.len() == layers
            && types
                .iter()
                .enumerate()
                .all(|(layer, kind)| kind == name(layer))
    };
    match types.as_array().is_some_and(same) {
        true => Ok(()),
        false => {
            let message = format!(
                "does not repeat {} layers with a window and one without, as llama.cpp does",
                period - 1
            );
            Err(json.wrong("layer_types", message))
        }
    }
}
