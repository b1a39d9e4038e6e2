//! The families of encoders: class names, tensor names, and the reading and writing of
//! `config.json`. A new family is a file here and an entry in [`EncoderType`] and in
//! [`Family::of`].

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
    /// ModernBERT: `modern` says what its layers have.
    ModernBert,
    /// DeBERTa-v2 and v3: `deberta` says how scores depend on distances.
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

/// The head of a family's `…ForSequenceClassification`.
pub(crate) struct HeadForm {
    /// Names that the dense layer over the pooled state may have, the preferred first.
    pub(crate) dense: &'static [&'static str],
    /// Name of the normalisation behind the activation.
    pub(crate) norm: Option<&'static str>,
    /// Name of the last layer.
    pub(crate) output: &'static str,
    pub(crate) activation: HeadActivation,
    /// Dropout comes before the dense layer too.
    pub(crate) drops_first: bool,
    /// How the class pools; `classifier_pooling` says which, where there are several.
    pub(crate) poolings: &'static [Pooling],
}

/// A family: what its class is called, has, reads and writes.
pub(crate) struct Family {
    pub(crate) kind: EncoderType,
    /// As `model_type` of `config.json`.
    pub(crate) model_type: &'static str,
    /// The beginning of the names of its classes.
    pub(crate) class: &'static str,
    /// The beginning of the names of the encoder's tensors in classes with a head.
    pub(crate) prefix: &'static str,
    /// Parts of the paths here and the file's names for them, applied in this order.
    names: &'static [(&'static str, &'static str)],
    /// Beginnings of the names of tensors that belong to other tasks.
    pub(crate) other_tasks: &'static [&'static str],
    /// There is a table of positions.
    pub(crate) positions: bool,
    /// Tokens have types.
    types: bool,
    /// Layers are those of a ModernBERT.
    modern: bool,
    /// Scores depend on the distance of two tokens.
    pub(crate) distances: bool,
    /// The value of `layer_norm_eps` that the class always takes.
    fixed_eps: Option<f64>,
    pub(crate) head: HeadForm,
    /// The position of a sequence's first token.
    pub(crate) first_position: fn(&EncoderConfig) -> usize,
    /// Reads the family's `config.json`.
    pub(crate) read: fn(&JsonConfig) -> Result<EncoderConfig, LoadError>,
    /// Turns the configuration's own keys, as serde writes them, into those of the family.
    write: fn(&EncoderConfig, &mut Map<String, Value>),
}

impl Family {
    /// A family by its type.
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

    /// The family that `config.json` names.
    pub(crate) fn named(model_type: &str) -> Option<&'static Self> {
        let mut all = EncoderType::ALL.into_iter().map(Self::of);
        all.find(|family| family.model_type == model_type)
    }

    /// The classes of all families that end in `task`.
    pub(crate) fn classes(task: &str) -> String {
        let names = EncoderType::ALL.map(|kind| format!("{}{task}", Self::of(kind).class));
        names.join(", ")
    }

    /// True if `class` is one of those that hold the encoder.
    pub(crate) fn opens(&self, class: &str) -> bool {
        let task = class.strip_prefix(self.class);
        matches!(
            task,
            Some("Model" | "ForMaskedLM" | "ForSequenceClassification")
        )
    }

    /// True if `class` has a head with a score for each label.
    pub(crate) fn classifies(&self, class: &str) -> bool {
        class.strip_prefix(self.class) == Some("ForSequenceClassification")
    }

    /// The name of a parameter of the bare encoder in the family's files.
    pub(crate) fn name(&self, path: &str) -> String {
        let names = self.names.iter();
        names.fold(path.to_owned(), |name, (here, there)| {
            name.replace(here, there)
        })
    }

    /// The names that a part of the head (`dense.weight`) may have in the family's files, the preferred first.
    pub(crate) fn head_names(&self, part: &str) -> Vec<String> {
        let (of, rest) = part.split_once('.').unwrap_or((part, ""));
        let names = match (of, self.head.norm.as_slice()) {
            ("norm", names) => names,
            _ => self.head.dense,
        };
        names.iter().map(|name| format!("{name}.{rest}")).collect()
    }

    /// Refuses what no folder of the family can say.
    pub(crate) fn check(&self, c: &EncoderConfig) -> Result<(), OptionError> {
        let class = self.class;
        let (allowed, holds) = match self.types {
            true => ("at least 1".to_owned(), c.type_vocab_size > 0),
            false => (format!("0: a {class} has no types"), c.type_vocab_size == 0),
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

    /// The family's keys for a configuration.
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
