//! DistilBERT: a BERT without token types, with different names for all keys and tensors.

use collimate_nn::Pooling;
use serde_json::json;

use super::{EncoderConfig, EncoderType, Family, HeadActivation, HeadForm, bert};

/// Keys of [`EncoderConfig`] and the corresponding keys of the family.
const KEYS: [(&str, &str); 6] = [
    ("hidden_size", "dim"),
    ("intermediate_size", "hidden_dim"),
    ("num_hidden_layers", "n_layers"),
    ("num_attention_heads", "n_heads"),
    ("hidden_dropout_prob", "dropout"),
    ("classifier_dropout", "seq_classif_dropout"),
];

pub(super) const FAMILY: Family = Family {
    kind: EncoderType::DistilBert,
    model_type: "distilbert",
    class: "DistilBert",
    prefix: "distilbert.",
    names: &[
        ("encoder.layer", "transformer.layer"),
        ("attention.self_.query", "attention.q_lin"),
        ("attention.self_.key", "attention.k_lin"),
        ("attention.self_.value", "attention.v_lin"),
        ("attention.output.dense", "attention.out_lin"),
        ("attention.output.layer_norm", "sa_layer_norm"),
        ("intermediate.dense", "ffn.lin1"),
        ("output.dense", "ffn.lin2"),
        ("output.layer_norm", "output_layer_norm"),
        ("embeddings.layer_norm", "embeddings.LayerNorm"),
    ],
    other_tasks: &["vocab_transform.", "vocab_layer_norm.", "vocab_projector."],
    positions: true,
    types: false,
    modern: false,
    distances: false,
    fixed_eps: Some(1e-12),
    head: HeadForm {
        dense: &["pre_classifier"],
        norm: None,
        output: "classifier",
        activation: HeadActivation::Relu,
        drops_first: false,
        poolings: &[Pooling::Cls],
    },
    first_position: |_| 0,
    read: |json| {
        bert::refuse(json)?;
        json.only("activation", &["gelu"])?;
        let absent = EncoderConfig::default();
        Ok(EncoderConfig {
            model_type: EncoderType::DistilBert,
            vocab_size: json.require("vocab_size")?,
            hidden_size: json.require("dim")?,
            intermediate_size: json.require("hidden_dim")?,
            num_hidden_layers: json.require("n_layers")?,
            num_attention_heads: json.require("n_heads")?,
            max_position_embeddings: json.require("max_position_embeddings")?,
            type_vocab_size: 0,
            hidden_dropout_prob: json.get("dropout")?.unwrap_or(0.1),
            classifier_dropout: Some(json.get("seq_classif_dropout")?.unwrap_or(0.2)),
            initializer_range: json.get("initializer_range")?.unwrap_or(0.02),
            pad_token_id: json.token_id("pad_token_id")?,
            ..absent
        })
    },
    write: |config, json| {
        for (here, there) in KEYS {
            if let Some(value) = json.remove(here) {
                json.insert(there.to_owned(), value);
            }
        }
        let dropout = config.hidden_dropout_prob;
        json.insert("activation".to_owned(), json!("gelu"));
        json.insert("attention_dropout".to_owned(), json!(dropout));
    },
};
