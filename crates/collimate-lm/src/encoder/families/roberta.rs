//! RoBERTa and XLM-R: positions begin after the id of the padding token.

use collimate_nn::Pooling;

use super::{EncoderConfig, EncoderType, Family, HeadActivation, HeadForm, bert};

const PAD: &str = "pad_token_id";

pub(super) const FAMILY: Family = Family {
    kind: EncoderType::Roberta,
    model_type: "roberta",
    class: "Roberta",
    prefix: "roberta.",
    names: bert::NAMES,
    other_tasks: &["pooler.", "lm_head."],
    positions: true,
    types: true,
    modern: false,
    distances: false,
    fixed_eps: None,
    head: HEAD,
    first_position: |config| config.pad_token_id.map_or(0, |id| id as usize + 1),
    read: |json| {
        let pad_token_id = match json.has(PAD) {
            false => Some(1),
            true => json.token_id(PAD)?,
        };
        if pad_token_id.is_none() {
            return Err(json.invalid(format!(
                "{PAD} names no token, but positions begin after the id of this token: a RoBERTa \
                 has 1"
            )));
        }
        Ok(EncoderConfig {
            type_vocab_size: json.get("type_vocab_size")?.unwrap_or(2),
            classifier_dropout: json.get("classifier_dropout")?,
            pad_token_id,
            ..bert::read(json)?
        })
    },
    write: bert::write,
};

pub(super) const XLM: Family = Family {
    kind: EncoderType::XlmRoberta,
    model_type: "xlm-roberta",
    class: "XLMRoberta",
    ..FAMILY
};

/// Head over the first token, with dropout on its input and on its output.
pub(super) const HEAD: HeadForm = HeadForm {
    dense: &["classifier.dense"],
    norm: None,
    output: "classifier.out_proj",
    activation: HeadActivation::Tanh,
    drops_first: true,
    poolings: &[Pooling::Cls],
};
