//! Kinds of networks named in `config.json`.

use std::path::Path;

use collimate_nn::LoadError;

use super::json::JsonConfig;
use crate::encoder::families::Family as Encoders;
use crate::llama::families::{Family, Task};
use crate::peft::Chain;

/// Kind of network that a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Architecture {
    /// A language model: `…ForCausalLM` or `…Model` of a [`ModelType`](crate::ModelType).
    Decoder,
    /// A reward model: `…ForSequenceClassification` of such a family.
    DecoderReward,
    /// An encoder: `…Model`, `…ForMaskedLM` or `…ForSequenceClassification` of BERT, RoBERTa, XLM-R,
    /// DistilBERT, MPNet, ModernBERT or DeBERTa, or a sentence-transformers folder around one.
    Encoder,
}

/// Returns the kind of network that a folder holds, from its `config.json`.
///
/// # Errors
/// There is no `config.json`, the JSON is malformed, or the architecture is not implemented (the
/// error names it).
pub fn detect_architecture(dir: &Path) -> Result<Architecture, LoadError> {
    let kind = JsonConfig::read(dir)?.kind()?;
    // An adapter may bring the head of a reward model.
    match kind == Architecture::Decoder && Chain::open(dir)?.brings("score.weight") {
        true => Ok(Architecture::DecoderReward),
        false => Ok(kind),
    }
}

impl JsonConfig {
    /// Returns the kind of network that this `config.json` describes.
    pub(crate) fn kind(&self) -> Result<Architecture, LoadError> {
        let name = self.architecture()?;
        let model_type = self.string("model_type")?;
        let (kind, name) = (model_type.as_deref(), name.as_deref());
        let found = match kind.and_then(Family::named) {
            Some(family) => {
                let is = |task| name.is_some() && family.class_of(task).as_deref() == name;
                match name {
                    None => Some(Architecture::Decoder),
                    _ if is(Task::CausalLm) => Some(Architecture::Decoder),
                    _ if is(Task::Reward) => Some(Architecture::DecoderReward),
                    Some(name) => (name == family.base_class()).then_some(Architecture::Decoder),
                }
            }
            None => {
                let family = kind.and_then(Encoders::named);
                let opens = family.filter(|family| name.is_none_or(|name| family.opens(name)));
                opens.map(|_| Architecture::Encoder)
            }
        };
        found.ok_or_else(|| {
            if self.value("text_config").is_some() {
                return self.unsupported(
                    format!(
                        "model_type {}, a text model beside others",
                        kind.unwrap_or_default()
                    ),
                    "a text model alone: with transformers, save the language model of this one as \
                     the …ForCausalLM of its text_config",
                );
            }
            self.unsupported(
                format!(
                    "architecture {} (model_type {})",
                    name.unwrap_or("(none given)"),
                    kind.unwrap_or("(none given)")
                ),
                &format!(
                    "{} (each also as …Model; each but Granite also as \
                     …ForSequenceClassification with num_labels 1), {} (each also as \
                     …ForMaskedLM and …ForSequenceClassification)",
                    Family::classes(Task::CausalLm),
                    Encoders::classes("Model")
                ),
            )
        })
    }

    /// Returns the first entry of `architectures`, the entry that transformers uses.
    pub(crate) fn architecture(&self) -> Result<Option<String>, LoadError> {
        let names: Option<Vec<String>> = self.get("architectures")?;
        Ok(names.and_then(|names| names.into_iter().next()))
    }

    /// Refuses quantised folders, in which stored numbers are not the weights that a layer
    /// multiplies with.
    pub(crate) fn not_quantised(&self) -> Result<(), LoadError> {
        for key in ["quantization_config", "compression_config"] {
            let Some(how) = self.value(key) else { continue };
            let method = how.get("quant_method").and_then(|method| method.as_str());
            return Err(self.unsupported(
                format!(
                    "{key} with quant_method {}",
                    method.unwrap_or("(none given)")
                ),
                "weights that are not quantised, in F32, F64, F16 or BF16",
            ));
        }
        Ok(())
    }
}
