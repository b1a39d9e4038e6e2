//! Families of encoders: class names, tensor names, and the reading and writing of `config.json`.
//! To add a family, add a file here and an entry in [`EncoderType`] and in [`Family::of`].

mod bert;
mod deberta;
mod distilbert;
mod modernbert;
mod mpnet;
mod roberta;

use collimate_core::OptionError;
use collimate_nn::{LoadError, Pooling};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::EncoderConfig;
use super::head::HeadActivation;
use crate::hf::JsonConfig;

/// A family of encoders, as `model_type` of Hugging Face's `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EncoderType {
    /// BERT, MiniLM, the first BGE and E5.
    Bert,
    /// RoBERTa: positions begin after the padding token's id.
    Roberta,
    /// XLM-R: a RoBERTa for many languages.
    #[serde(rename = "xlm-roberta")]
    XlmRoberta,
    /// DistilBERT: no token types.
    DistilBert,
    /// MPNet: scores that depend on distances, no token types.
    MpNet,
    /// ModernBERT: `modern` holds the options of the layers.
    ModernBert,
    /// DeBERTa-v2 and v3: `deberta` holds the options of relative positions.
    #[serde(rename = "deberta-v2")]
    DebertaV2,
}

impl EncoderType {
    /// All families.
    pub(crate) const ALL: [Self; 7] = [
        Self::Bert,
        Self::Roberta,
        Self::XlmRoberta,
        Self::DistilBert,
        Self::MpNet,
        Self::ModernBert,
        Self::DebertaV2,
    ];
}

/// Head of a family's `…ForSequenceClassification`.
pub(crate) struct HeadForm {
    /// Possible names of the dense layer over the pooled state, the preferred name first.
    pub(crate) dense: &'static [&'static str],
    /// Name of the normalisation after the activation.
    pub(crate) norm: Option<&'static str>,
    /// Name of the last layer.
    pub(crate) output: &'static str,
    pub(crate) activation: HeadActivation,
    /// If true, dropout is also applied before the dense layer.
    pub(crate) drops_first: bool,
    /// Poolings that the class supports. If there are several, `classifier_pooling` selects one.
    pub(crate) poolings: &'static [Pooling],
}

/// A family: class name, parts, and the reading and writing of its files.
pub(crate) struct Family {
    pub(crate) kind: EncoderType,
    /// Value of `model_type` in `config.json`.
    pub(crate) model_type: &'static str,
    /// Prefix of the family's class names.
    pub(crate) class: &'static str,
    /// Prefix of the encoder's tensor names in classes with a head.
    pub(crate) prefix: &'static str,
    /// Parts of parameter paths and the names that replace them in files, applied in this order.
    names: &'static [(&'static str, &'static str)],
    /// Prefixes of the names of tensors that belong to other tasks.
    pub(crate) other_tasks: &'static [&'static str],
    /// If true, there is a table of positions.
    pub(crate) positions: bool,
    /// If true, tokens have types.
    types: bool,
    /// If true, layers are those of a ModernBERT.
    modern: bool,
    /// If true, scores depend on the distance of two tokens.
    pub(crate) distances: bool,
    /// Value of `layer_norm_eps` that the class always takes.
    fixed_eps: Option<f64>,
    pub(crate) head: HeadForm,
    /// Position of a sequence's first token.
    pub(crate) first_position: fn(&EncoderConfig) -> usize,
    /// Reads the family's `config.json`.
    pub(crate) read: fn(&JsonConfig) -> Result<EncoderConfig, LoadError>,
    /// Turns the keys of [`EncoderConfig`], as serde writes them, into the keys of the family.
    write: fn(&EncoderConfig, &mut Map<String, Value>),
}

impl Family {
    /// Returns the family of a type.
    pub(crate) fn of(kind: EncoderType) -> &'static Self {
        match kind {
            EncoderType::Bert => &bert::FAMILY,
            EncoderType::Roberta => &roberta::FAMILY,
            EncoderType::XlmRoberta => &roberta::XLM,
            EncoderType::DistilBert => &distilbert::FAMILY,
            EncoderType::MpNet => &mpnet::FAMILY,
            EncoderType::ModernBert => &modernbert::FAMILY,
            EncoderType::DebertaV2 => &deberta::FAMILY,
        }
    }

    /// Returns the family that `config.json` names.
    pub(crate) fn named(model_type: &str) -> Option<&'static Self> {
        let mut all = EncoderType::ALL.into_iter().map(Self::of);
        all.find(|family| family.model_type == model_type)
    }

    /// Lists the classes of all families that end in `task`.
    pub(crate) fn classes(task: &str) -> String {
        let names = EncoderType::ALL.map(|kind| format!("{}{task}", Self::of(kind).class));
        names.join(", ")
    }

    /// Returns true if `class` holds the encoder.
    pub(crate) fn opens(&self, class: &str) -> bool {
        let task = class.strip_prefix(self.class);
        matches!(
            task,
            Some("Model" | "ForMaskedLM" | "ForSequenceClassification")
        )
    }

    /// Returns true if `class` has a head with a score for each label.
    pub(crate) fn classifies(&self, class: &str) -> bool {
        class.strip_prefix(self.class) == Some("ForSequenceClassification")
    }

    /// Returns the name of a parameter of the bare encoder in the family's files.
    pub(crate) fn name(&self, path: &str) -> String {
        let names = self.names.iter();
        names.fold(path.to_owned(), |name, (here, there)| {
            name.replace(here, there)
        })
    }

    /// Returns the names that a part of the head (`dense.weight`) may have in the family's files,
    /// the preferred name first.
    pub(crate) fn head_names(&self, part: &str) -> Vec<String> {
        let (of, rest) = part.split_once('.').unwrap_or((part, ""));
        let names = match (of, self.head.norm.as_slice()) {
            ("norm", names) => names,
            _ => self.head.dense,
        };
        names.iter().map(|name| format!("{name}.{rest}")).collect()
    }

    /// Refuses options that no folder of the family can express.
    pub(crate) fn check(&self, c: &EncoderConfig) -> Result<(), OptionError> {
        let class = self.class;
        let (allowed, holds) = match self.types {
            true => ("at least 1".to_owned(), c.type_vocab_size > 0),
            false => (
                format!("0: a {class} has no token types"),
                c.type_vocab_size == 0,
            ),
        };
        OptionError::check("type_vocab_size", c.type_vocab_size, &allowed, holds)?;
        let (allowed, given) = match self.modern {
            true => (format!("set: a {class} has it"), "absent"),
            false => (format!("absent: a {class} has none"), "set"),
        };
        OptionError::check("modern", given, &allowed, c.modern.is_some() == self.modern)?;
        let own = self.kind == EncoderType::DebertaV2;
        let (allowed, given) = match own {
            true => (format!("set: a {class} has it"), "absent"),
            false => (format!("absent: a {class} has none"), "set"),
        };
        OptionError::check("deberta", given, &allowed, c.deberta.is_some() == own)?;
        let first = c.first_position();
        let (name, rows) = ("max_position_embeddings", c.max_position_embeddings);
        let allowed = format!(
            "at least {}: positions of a {class} begin at {first}",
            first + 1
        );
        OptionError::check(name, rows, &allowed, rows > first)?;
        let (eps, fixed) = (c.layer_norm_eps, self.fixed_eps);
        let allowed = format!("{:e} in a {class}", fixed.unwrap_or(eps));
        let holds = fixed.is_none_or(|fixed| fixed == eps);
        OptionError::check("layer_norm_eps", eps, &allowed, holds)
    }

    /// Writes a configuration with the family's keys.
    pub(crate) fn write(&self, config: &EncoderConfig, json: &mut Map<String, Value>) {
        if !self.modern {
            json.remove("modern");
        }
        if config.deberta.is_none() {
            json.remove("deberta");
        }
        if config.classifier_dropout.is_none() {
            json.remove("classifier_dropout");
        }
        if !self.types {
            json.remove("type_vocab_size");
        }
        if self.fixed_eps.is_some() {
            json.remove("layer_norm_eps");
        }
        (self.write)(config, json);
    }
}
