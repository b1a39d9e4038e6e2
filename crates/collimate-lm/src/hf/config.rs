//! `config.json`, read with errors that name the file and the key.

use std::path::{Path, PathBuf};

use collimate_nn::{LoadError, SaveError};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::weights::write_file;

/// What kind of network a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Architecture {
    /// `LlamaForCausalLM`, `LlamaModel`, `MistralForCausalLM`, `MistralModel`.
    LlamaCausal,
    /// `LlamaForSequenceClassification`, `MistralForSequenceClassification`.
    LlamaReward,
    /// `BertModel` and friends, or a sentence-transformers folder around one.
    Bert,
}

const SUPPORTED: &str = "LlamaForCausalLM, LlamaForSequenceClassification (num_labels 1), \
                         MistralForCausalLM, MistralForSequenceClassification (num_labels 1), \
                         BertModel";

/// Finds out what a folder holds from its `config.json`.
///
/// # Errors
/// No `config.json`, malformed JSON, or an architecture that is not implemented (named).
pub fn detect_architecture(dir: &Path) -> Result<Architecture, LoadError> {
    let config = JsonConfig::read(dir)?;
    let name = config.architecture();
    match (config.string("model_type")?.as_deref(), name.as_deref()) {
        (Some("llama"), Some("LlamaForSequenceClassification"))
        | (Some("mistral"), Some("MistralForSequenceClassification")) => {
            Ok(Architecture::LlamaReward)
        }
        (Some("llama"), None | Some("LlamaForCausalLM" | "LlamaModel"))
        | (Some("mistral"), None | Some("MistralForCausalLM" | "MistralModel")) => {
            Ok(Architecture::LlamaCausal)
        }
        (
            Some("bert"),
            None | Some("BertModel" | "BertForMaskedLM" | "BertForSequenceClassification"),
        ) => Ok(Architecture::Bert),
        (kind, name) => Err(LoadError::Unsupported {
            path: config.path,
            what: format!(
                "architecture {} (model_type {})",
                name.unwrap_or("(none given)"),
                kind.unwrap_or("(none given)")
            ),
            supported: SUPPORTED.to_owned(),
        }),
    }
}

/// A parsed `config.json` that remembers where it came from.
pub(crate) struct JsonConfig {
    pub(crate) path: PathBuf,
    map: Map<String, Value>,
}

impl JsonConfig {
    /// Reads `dir/config.json`.
    pub(crate) fn read(dir: &Path) -> Result<Self, LoadError> {
        Self::read_file(dir.join("config.json"))
    }

    /// Reads any JSON object.
    pub(crate) fn read_file(path: PathBuf) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(&path).map_err(|source| LoadError::Io {
            path: path.clone(),
            source,
        })?;
        match serde_json::from_str(&text) {
            Ok(Value::Object(map)) => Ok(Self { path, map }),
            Ok(_) => Err(LoadError::Invalid {
                path,
                message: "expected a JSON object".to_owned(),
            }),
            Err(error) => Err(LoadError::Invalid {
                path,
                message: format!("malformed JSON ({error}): correct it or copy the file again"),
            }),
        }
    }

    /// The first entry of `architectures`.
    pub(crate) fn architecture(&self) -> Option<String> {
        self.map
            .get("architectures")?
            .as_array()?
            .first()?
            .as_str()
            .map(str::to_owned)
    }

    /// Whether a key is there, be it with null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// A value that may be absent or null.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, LoadError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value.clone())
                .map(Some)
                .map_err(|error| LoadError::Invalid {
                    path: self.path.clone(),
                    message: format!("{key}: {error}"),
                }),
        }
    }

    /// A text that may be absent.
    pub(crate) fn string(&self, key: &str) -> Result<Option<String>, LoadError> {
        self.get(key)
    }

    /// A value that must be there.
    pub(crate) fn require<T: DeserializeOwned>(&self, key: &str) -> Result<T, LoadError> {
        self.get(key)?.ok_or_else(|| LoadError::Invalid {
            path: self.path.clone(),
            message: format!("{key} is missing: take the config.json of the checkpoint"),
        })
    }

    /// A token id, of which some files give a list: then the first.
    pub(crate) fn token_id(&self, key: &str) -> Result<Option<u32>, LoadError> {
        match self.map.get(key) {
            Some(Value::Array(list)) => {
                Ok(list.first().and_then(Value::as_u64).map(|id| id as u32))
            }
            Some(Value::Number(n)) if n.as_i64().is_some_and(|id| id < 0) => Ok(None),
            _ => self.get(key),
        }
    }

    /// Refuses a key whose value is not one of `allowed` (absent and null are allowed).
    pub(crate) fn only(&self, key: &str, allowed: &[&str]) -> Result<(), LoadError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(text)) if allowed.contains(&text.as_str()) => Ok(()),
            Some(other) => Err(self.unsupported(format!("{key} = {other}"), &allowed.join(", "))),
        }
    }

    /// Refuses a classifier with another number of outputs than one. Transformers stores the
    /// number as the size of `id2label`; where nothing is said, the head's shape decides.
    pub(crate) fn one_label(&self) -> Result<(), LoadError> {
        let stored = self.object("id2label").map_or(1, Map::len);
        match self.get("num_labels")?.unwrap_or(stored) {
            1 => Ok(()),
            more => Err(self.unsupported(format!("num_labels = {more}"), "num_labels = 1")),
        }
    }

    /// An error that names an option of this file which is not implemented.
    pub(crate) fn unsupported(&self, what: String, supported: &str) -> LoadError {
        LoadError::Unsupported {
            path: self.path.clone(),
            what,
            supported: supported.to_owned(),
        }
    }

    /// The error of a value that does not fit the others.
    pub(crate) fn invalid(&self, message: impl ToString) -> LoadError {
        LoadError::Invalid {
            path: self.path.clone(),
            message: message.to_string(),
        }
    }

    /// A nested object.
    pub(crate) fn object(&self, key: &str) -> Option<&Map<String, Value>> {
        self.map.get(key)?.as_object()
    }
}

/// Writes pretty JSON, whole or not at all.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), SaveError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| SaveError::Serialize {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    text.push('\n');
    write_file(path, text.as_bytes())
}
