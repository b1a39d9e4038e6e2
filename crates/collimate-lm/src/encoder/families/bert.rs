//! BERT, and the reading and writing that it shares with its relatives.

use collimate_nn::{LoadError, Pooling};
use serde_json::{Map, Value, json};

use super::{EncoderConfig, EncoderType, Family, HeadActivation, HeadForm};
use crate::hf::JsonConfig;

/// Tensor names in BERT files.
pub(super) const NAMES: &[(&str, &str)] = &[("self_", "self"), ("layer_norm", "LayerNorm")];

/// Options that would change the encoder's function, each with the value that changes nothing.
const FOREIGN: [(&str, f64); 4] = [
    ("add_cross_attention", 0.0),
    ("feed_forward_type", f64::NAN),
    ("is_decoder", 0.0),
    ("pruned_heads", 0.0),
];

pub(super) const FAMILY: Family = Family {
    kind: EncoderType::Bert,
    model_type: "bert",
    class: "Bert",
    prefix: "bert.",
    names: NAMES,
    other_tasks: &["pooler.", "cls."],
    positions: true,
    types: true,
    modern: false,
    distances: false,
    fixed_eps: None,
    head: HeadForm {
        dense: &["bert.pooler.dense", "pooler.dense"],
        norm: None,
        output: "classifier",
        activation: HeadActivation::Tanh,
        drops_first: false,
        poolings: &[Pooling::Cls],
    },
    first_position: |_| 0,
    read: |json| {
        Ok(EncoderConfig {
            type_vocab_size: json.get("type_vocab_size")?.unwrap_or(2),
            classifier_dropout: json.get("classifier_dropout")?,
            pad_token_id: json.token_id("pad_token_id")?,
            ..read(json)?
        })
    },
    write,
};

/// Refuses options that no encoder here implements.
pub(super) fn refuse(json: &JsonConfig) -> Result<(), LoadError> {
    json.not_quantised()?;
    json.neutral(&FOREIGN)
}

/// Reads the keys that BERT shares with its relatives.
pub(super) fn read(json: &JsonConfig) -> Result<EncoderConfig, LoadError> {
    refuse(json)?;
    json.only("hidden_act", &["gelu"])?;
    json.only("position_embedding_type", &["absolute"])?;
    let absent = EncoderConfig::default();
    Ok(EncoderConfig {
        vocab_size: json.require("vocab_size")?,
        hidden_size: json.require("hidden_size")?,
        intermediate_size: json.require("intermediate_size")?,
        num_hidden_layers: json.require("num_hidden_layers")?,
        num_attention_heads: json.require("num_attention_heads")?,
        max_position_embeddings: json.require("max_position_embeddings")?,
        layer_norm_eps: json.get("layer_norm_eps")?.unwrap_or(absent.layer_norm_eps),
        hidden_dropout_prob: json
            .get("hidden_dropout_prob")?
            .unwrap_or(absent.hidden_dropout_prob),
        initializer_range: json
            .get("initializer_range")?
            .unwrap_or(absent.initializer_range),
        ..absent
    })
}

/// Writes the keys that BERT shares with its relatives.
pub(super) fn write(config: &EncoderConfig, json: &mut Map<String, Value>) {
    let dropout = config.hidden_dropout_prob;
    json.insert("hidden_act".to_owned(), json!("gelu"));
    json.insert("position_embedding_type".to_owned(), json!("absolute"));
    json.insert("attention_probs_dropout_prob".to_owned(), json!(dropout));
}
