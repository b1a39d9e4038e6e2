//! MPNet: a bias of the scores for each distance, and positions that begin at 2.

use serde_json::json;

use super::{EncoderConfig, EncoderType, Family, bert, roberta};
use crate::encoder::attention::BUCKETS;

const TABLE: &str = "relative_attention_num_buckets";

pub(super) const FAMILY: Family = Family {
    kind: EncoderType::MpNet,
    model_type: "mpnet",
    class: "MPNet",
    prefix: "mpnet.",
    names: &[
        ("attention.self_.query", "attention.attn.q"),
        ("attention.self_.key", "attention.attn.k"),
        ("attention.self_.value", "attention.attn.v"),
        ("attention.output.dense", "attention.attn.o"),
        ("attention.output.layer_norm", "attention.LayerNorm"),
        ("layer_norm", "LayerNorm"),
    ],
    other_tasks: &["pooler.", "lm_head."],
    positions: true,
    types: false,
    modern: false,
    distances: true,
    fixed_eps: None,
    head: roberta::HEAD,
    // The id of the padding token does not matter.
    first_position: |_| 2,
    read: |json| {
        let buckets: usize = json.get(TABLE)?.unwrap_or(BUCKETS);
        if buckets != BUCKETS {
            let supported = format!("{TABLE} = {BUCKETS}");
            return Err(json.unsupported(format!("{TABLE} = {buckets}"), &supported));
        }
        Ok(EncoderConfig {
            model_type: EncoderType::MpNet,
            type_vocab_size: 0,
            pad_token_id: json.token_id("pad_token_id")?,
            ..bert::read(json)?
        })
    },
    write: |config, json| {
        bert::write(config, json);
        json.remove("position_embedding_type");
        json.remove("classifier_dropout");
        json.insert(TABLE.to_owned(), json!(BUCKETS));
    },
};
