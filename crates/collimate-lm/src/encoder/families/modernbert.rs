//! ModernBERT: rotary positions of two bases, windows in most layers, normalisation before each
//! sublayer.

use collimate_nn::{LoadError, Pooling};
use serde_json::{Map, Value, json};

use super::{EncoderConfig, EncoderType, Family, HeadActivation, HeadForm, bert};
use crate::LayerKind;
use crate::bounds::MOST_LAYERS;
use crate::encoder::modern::ModernConfig;
use crate::hf::JsonConfig;

const ROPE: &str = "rope_parameters";
const KINDS: &str = "layer_types";
const INTERVAL: &str = "global_attn_every_n_layers";
/// The two kinds of layers, each with the older key of its base.
const BASES: [(&str, &str); 2] = [
    ("full_attention", "global_rope_theta"),
    ("sliding_attention", "local_rope_theta"),
];

pub(super) const FAMILY: Family = Family {
    kind: EncoderType::ModernBert,
    model_type: "modernbert",
    class: "ModernBert",
    prefix: "model.",
    names: &[
        ("word_embeddings", "tok_embeddings"),
        ("embeddings.layer_norm", "embeddings.norm"),
        ("encoder.pre_layer", "layers"),
        ("encoder.final_norm", "final_norm"),
        ("wqkv", "Wqkv"),
        (".wi", ".Wi"),
        (".wo", ".Wo"),
    ],
    other_tasks: &["head.", "decoder."],
    positions: false,
    types: false,
    distances: false,
    modern: true,
    fixed_eps: None,
    head: HeadForm {
        dense: &["head.dense"],
        norm: Some("head.norm"),
        output: "classifier",
        activation: HeadActivation::Gelu,
        drops_first: false,
        poolings: &[Pooling::Cls, Pooling::Mean],
    },
    first_position: |_| 0,
    read,
    write,
};

fn read(json: &JsonConfig) -> Result<EncoderConfig, LoadError> {
    bert::refuse(json)?;
    json.only("hidden_activation", &["gelu"])?;
    json.only("classifier_activation", &["gelu"])?;
    json.neutral(&[("rope_scaling", f64::NAN)])?;
    let layers = json.require("num_hidden_layers")?;
    let absent = ModernConfig::default();
    let [full, sliding] = BASES.map(|(kind, key)| base(json, kind, key));
    let switch = |key| Ok::<_, LoadError>(json.get(key)?.unwrap_or(false));
    let dropout = |key| Ok::<_, LoadError>(json.get(key)?.unwrap_or(0.0));
    let modern = ModernConfig {
        local_attention: json
            .get("local_attention")?
            .unwrap_or(absent.local_attention),
        layer_types: kinds(json, layers)?,
        global_rope_theta: full?.unwrap_or(absent.global_rope_theta),
        local_rope_theta: sliding?.unwrap_or(absent.local_rope_theta),
        attention_bias: switch("attention_bias")?,
        mlp_bias: switch("mlp_bias")?,
        norm_bias: switch("norm_bias")?,
        classifier_bias: switch("classifier_bias")?,
        embedding_dropout: dropout("embedding_dropout")?,
        attention_dropout: dropout("attention_dropout")?,
        mlp_dropout: dropout("mlp_dropout")?,
    };
    Ok(EncoderConfig {
        vocab_size: json.require("vocab_size")?,
        hidden_size: json.require("hidden_size")?,
        intermediate_size: json.require("intermediate_size")?,
        num_hidden_layers: layers,
        num_attention_heads: json.require("num_attention_heads")?,
        max_position_embeddings: json.require("max_position_embeddings")?,
        type_vocab_size: 0,
        layer_norm_eps: json.get("norm_eps")?.unwrap_or(1e-5),
        hidden_dropout_prob: 0.0,
        classifier_dropout: Some(dropout("classifier_dropout")?),
        initializer_range: json.get("initializer_range")?.unwrap_or(0.02),
        pad_token_id: json.token_id("pad_token_id")?,
        modern: Some(modern),
        ..EncoderConfig::default()
    })
}

/// Reads the base of the rotary positions of a kind of layers, from `rope_parameters` or from its
/// older key.
fn base(json: &JsonConfig, kind: &str, key: &str) -> Result<Option<f64>, LoadError> {
    let older = match (json.has(key), json.get(key)?) {
        (true, None) => {
            return Err(json.invalid(format!("{key} is null: give the base of {kind} layers")));
        }
        (_, base) => base,
    };
    let Some(all) = json.object(ROPE)? else {
        return Ok(older);
    };
    if let Some(other) = all
        .keys()
        .find(|key| BASES.iter().all(|(kind, _)| key != kind))
    {
        let supported = "full_attention, sliding_attention";
        return Err(json.unsupported(format!("{ROPE} with {other}"), supported));
    }
    let own = match all.get(kind) {
        None | Some(Value::Null) => return Ok(older),
        Some(Value::Object(own)) => own,
        Some(other) => {
            return Err(json.invalid(format!("{ROPE}.{kind} is {other}: expected an object")));
        }
    };
    for (key, value) in own {
        let known = key == "rope_theta" || (key == "rope_type" && value == "default");
        if !known {
            let what = format!("{ROPE}.{kind}.{key} = {value}");
            return Err(json.unsupported(what, "rope_theta, and rope_type default"));
        }
    }
    match own.get("rope_theta") {
        None => Ok(older),
        Some(value) => match value.as_f64() {
            Some(base) => Ok(Some(base)),
            None => Err(json.invalid(format!(
                "{ROPE}.{kind}.rope_theta is {value}: expected a number"
            ))),
        },
    }
}

/// Reads the kinds of the layers. Returns `None` if they are ModernBERT's default.
fn kinds(json: &JsonConfig, layers: usize) -> Result<Option<Vec<LayerKind>>, LoadError> {
    let named: Option<Vec<String>> = json.get(KINDS)?;
    if let Some(names) = named {
        let kind = |name: String| match name.as_str() {
            "full_attention" => Ok(LayerKind::FullAttention),
            "sliding_attention" => Ok(LayerKind::SlidingAttention),
            other => Err(json.unsupported(
                format!("{KINDS} with {other}"),
                "full_attention, sliding_attention",
            )),
        };
        let kinds: Vec<LayerKind> = names.into_iter().map(kind).collect::<Result<_, _>>()?;
        return Ok(
            Some(kinds).filter(|kinds| *kinds != every(3, kinds.len()) || kinds.len() != layers)
        );
    }
    match json.get(INTERVAL)?.unwrap_or(3) {
        0 => Err(json.invalid(format!("{INTERVAL} is 0 but must be at least 1"))),
        3 => Ok(None),
        _ if layers > MOST_LAYERS => Err(json.invalid(format!(
            "num_hidden_layers is {layers} but must be at most {MOST_LAYERS} if {INTERVAL} is given"
        ))),
        interval => Ok(Some(every(interval, layers))),
    }
}

/// Returns kinds of layers in which the first of every `interval` layers sees all tokens.
fn every(interval: usize, layers: usize) -> Vec<LayerKind> {
    let kind = |layer: usize| match layer.is_multiple_of(interval) {
        true => LayerKind::FullAttention,
        false => LayerKind::SlidingAttention,
    };
    (0..layers).map(kind).collect()
}

fn write(config: &EncoderConfig, json: &mut Map<String, Value>) {
    let modern = config.modern.clone().unwrap_or_default();
    let layers = config.num_hidden_layers;
    json.remove("hidden_dropout_prob");
    json.remove("modern");
    json.insert("norm_eps".to_owned(), json!(config.layer_norm_eps));
    json.remove("layer_norm_eps");
    if let Value::Object(own) = json!(modern) {
        json.extend(own);
    }
    json.insert("hidden_activation".to_owned(), json!("gelu"));
    json.insert("classifier_activation".to_owned(), json!("gelu"));
    let kinds = modern.layer_types.unwrap_or_else(|| every(3, layers));
    // Written for readers that do not know the list.
    let second = kinds
        .iter()
        .skip(1)
        .position(|kind| *kind == LayerKind::FullAttention);
    let interval = second.map_or(layers.max(1), |index| index + 1);
    if kinds == every(interval, layers) {
        json.insert(INTERVAL.to_owned(), json!(interval));
    }
    json.insert(KINDS.to_owned(), json!(kinds));
    let bases = [modern.global_rope_theta, modern.local_rope_theta];
    let rope: Map<String, Value> = BASES
        .iter()
        .zip(bases)
        .map(|((kind, _), theta)| {
            let own = json!({"rope_type": "default", "rope_theta": theta});
            ((*kind).to_owned(), own)
        })
        .collect();
    json.insert(ROPE.to_owned(), Value::Object(rope));
}
