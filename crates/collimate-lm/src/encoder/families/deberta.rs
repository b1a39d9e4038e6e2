//! DeBERTa-v2 and v3. Scores depend on distances through a shared table; there are no absolute
//! positions and no token types.

use collimate_nn::{LoadError, Pooling};
use serde_json::{Map, Value, json};

use super::{EncoderConfig, EncoderType, Family, HeadActivation, HeadForm, bert};
use crate::encoder::deberta::{DebertaConfig, RelativeNorm, RelativeTerm};
use crate::hf::JsonConfig;

/// Switches, each with the value that transformers takes if the key is absent, and the supported
/// value.
const SWITCHES: [(&str, bool, bool); 3] = [
    ("relative_attention", false, true),
    ("share_att_key", false, true),
    ("position_biased_input", true, false),
];

/// Options that would change the encoder's function, each with the value that changes nothing.
const FOREIGN: [(&str, f64); 4] = [
    ("conv_kernel_size", 0.0),
    ("pooler_dropout", 0.0),
    ("type_vocab_size", 0.0),
    ("z_steps", 0.0),
];

pub(super) const FAMILY: Family = Family {
    kind: EncoderType::DebertaV2,
    model_type: "deberta-v2",
    class: "DebertaV2",
    prefix: "deberta.",
    names: &[
        ("self_.query", "self.query_proj"),
        ("self_.key", "self.key_proj"),
        ("self_.value", "self.value_proj"),
        ("encoder.relative.", "encoder."),
        ("layer_norm", "LayerNorm"),
    ],
    other_tasks: &["pooler.", "cls.", "lm_predictions.", "mask_predictions."],
    positions: false,
    types: false,
    modern: false,
    distances: false,
    fixed_eps: None,
    head: HeadForm {
        dense: &["pooler.dense"],
        norm: None,
        output: "classifier",
        activation: HeadActivation::Gelu,
        drops_first: false,
        poolings: &[Pooling::Cls],
    },
    first_position: |_| 0,
    read,
    write,
};

fn read(json: &JsonConfig) -> Result<EncoderConfig, LoadError> {
    for (key, absent, wanted) in SWITCHES {
        let found = json.get(key)?.unwrap_or(absent);
        if found != wanted {
            let supported = format!("{key} = {wanted}");
            return Err(json.unsupported(format!("{key} = {found}"), &supported));
        }
    }
    json.neutral(&FOREIGN)?;
    json.only("pooler_hidden_act", &["gelu"])?;
    let c = EncoderConfig {
        type_vocab_size: 0,
        layer_norm_eps: json.get("layer_norm_eps")?.unwrap_or(1e-7),
        classifier_dropout: json.get("cls_dropout")?,
        pad_token_id: json.token_id("pad_token_id")?,
        ..bert::read(json)?
    };
    let heads = c.num_attention_heads;
    for (key, wanted) in [
        ("embedding_size", c.hidden_size),
        ("pooler_hidden_size", c.hidden_size),
        ("attention_head_size", c.hidden_size / heads.max(1)),
    ] {
        let found = json.get(key)?.unwrap_or(wanted);
        if found != wanted {
            let supported = format!("{key} = {wanted}");
            return Err(json.unsupported(format!("{key} = {found}"), &supported));
        }
    }
    let deberta = DebertaConfig {
        position_buckets: count(json, "position_buckets")?,
        max_relative_positions: count(json, "max_relative_positions")?,
        pos_att_type: terms(json)?,
        norm_rel_ebd: norm(json)?,
    };
    Ok(EncoderConfig {
        deberta: Some(deberta),
        ..c
    })
}

/// Reads a count; −1 or 0 switches it off.
fn count(json: &JsonConfig, key: &str) -> Result<Option<usize>, LoadError> {
    let count: i64 = json.get(key)?.unwrap_or(-1);
    Ok(usize::try_from(count).ok().filter(|count| *count > 0))
}

/// Reads the terms of the scores: a list, or a text separated by bars.
fn terms(json: &JsonConfig) -> Result<Vec<RelativeTerm>, LoadError> {
    const KEY: &str = "pos_att_type";
    let names: Vec<String> = match json.value(KEY) {
        Some(Value::String(names)) => names.split('|').map(str::to_owned).collect(),
        _ => json.get(KEY)?.unwrap_or_default(),
    };
    let term = |name: &String| match name.trim().to_lowercase().as_str() {
        "c2p" => Ok(RelativeTerm::C2p),
        "p2c" => Ok(RelativeTerm::P2c),
        _ => Err(json.unsupported(format!("{KEY} with {name:?}"), "c2p, p2c")),
    };
    names.iter().map(term).collect()
}

fn norm(json: &JsonConfig) -> Result<RelativeNorm, LoadError> {
    const KEY: &str = "norm_rel_ebd";
    json.only(KEY, &["none", "layer_norm"])?;
    Ok(json.get(KEY)?.unwrap_or(RelativeNorm::None))
}

fn write(config: &EncoderConfig, json: &mut Map<String, Value>) {
    bert::write(config, json);
    json.remove("position_embedding_type");
    json.remove("deberta");
    if let Some(dropout) = json.remove("classifier_dropout") {
        json.insert("cls_dropout".to_owned(), dropout);
    }
    for (key, _, value) in SWITCHES {
        json.insert(key.to_owned(), json!(value));
    }
    let deberta = config.deberta.clone().unwrap_or_default();
    let count = |count: Option<usize>| count.map_or(json!(-1), |count| json!(count));
    for (key, value) in [
        ("position_buckets", count(deberta.position_buckets)),
        (
            "max_relative_positions",
            count(deberta.max_relative_positions),
        ),
        ("pos_att_type", json!(deberta.pos_att_type)),
        ("norm_rel_ebd", json!(deberta.norm_rel_ebd)),
        ("type_vocab_size", json!(0)),
        ("pooler_dropout", json!(0.0)),
        ("pooler_hidden_act", json!("gelu")),
        ("pooler_hidden_size", json!(config.hidden_size)),
    ] {
        json.insert(key.to_owned(), value);
    }
}
