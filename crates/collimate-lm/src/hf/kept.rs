//! Settings of a folder besides weights and sizes, kept for folders that are saved from it.

use std::path::Path;
use std::sync::Arc;

use collimate_nn::{LoadError, SaveError};
use serde_json::{Map, Value, json};

use super::json::{JsonConfig, write_json};
use super::save::write_file;

pub(crate) const GENERATION: &str = "generation_config.json";

/// Keys that would be wrong in a saved folder. The weights are f32 and not quantised, rotary
/// positions are written under the family's own keys, and a model's Python code is not copied.
const WRONG: [&str; 7] = [
    "auto_map",
    "compression_config",
    "custom_pipelines",
    "dtype",
    "quantization_config",
    "rope_parameters",
    "torch_dtype",
];

/// Keys that belong to a class; they are valid as long as the class stays the same.
const OF_CLASS: [&str; 5] = [
    "finetuning_task",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
];

/// Keys for which the value of the folder that was read replaces the value to be written. An
/// evaluation does not depend on them, and a loaded model does not change them.
const FIRST: [&str; 6] = [
    "attention_dropout",
    "attention_probs_dropout_prob",
    "id2label",
    "label2id",
    "problem_type",
    "use_cache",
];

/// Ids that the configuration may leave out. Transformers then takes a default, which null would
/// switch off.
const IDS: [&str; 3] = ["bos_token_id", "eos_token_id", "pad_token_id"];

/// Settings of a model's folder; empty for a model that was created without a folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept(Option<Arc<Folder>>);

#[derive(Debug)]
struct Folder {
    config: Map<String, Value>,
    /// Text of `generation_config.json`.
    generation: Option<String>,
}

impl Kept {
    /// Reads the settings of the folder `dir`, whose `config.json` is `json`.
    pub(crate) fn read(dir: &Path, json: &JsonConfig) -> Result<Self, LoadError> {
        let path = dir.join(GENERATION);
        let generation = JsonConfig::read_if_there(path.clone())?;
        // The text of a file is kept as it is. Inside a GGUF file there is no text.
        let generation = generation.map(|json| {
            let text = std::fs::read_to_string(&path);
            text.unwrap_or_else(|_| format!("{:#}\n", Value::Object(json.map().clone())))
        });
        if json.value("auto_map").is_some() {
            tracing::warn!(
                "{}: the code that auto_map names is not run: the model is read as {}",
                json.path.display(),
                json.architecture()?.unwrap_or_default()
            );
        }
        let config = json.map().clone();
        Ok(Self(Some(Arc::new(Folder { config, generation }))))
    }

    /// Returns the same settings for a head that scores only one of the folder's labels.
    pub(crate) fn with_one_label(self, name: &str) -> Self {
        Self(self.0.map(|folder| {
            let mut config = folder.config.clone();
            config.retain(|key, _| !OF_CLASS.contains(&key.as_str()));
            config.insert("id2label".to_owned(), json!({"0": name}));
            config.insert("label2id".to_owned(), json!({name: 0}));
            Arc::new(Folder {
                config,
                generation: folder.generation.clone(),
            })
        }))
    }

    /// Writes `config.json` and `generation_config.json`. The settings of the folder that was read
    /// come first; `own`, the description of the saved model, overrides them.
    pub(crate) fn write(&self, dir: &Path, own: Value) -> Result<(), SaveError> {
        if let Some(text) = self.0.as_ref().and_then(|f| f.generation.as_ref()) {
            write_file(&dir.join(GENERATION), text.as_bytes())?;
        }
        write_json(&dir.join("config.json"), &self.config(own))
    }

    /// Returns the content of `generation_config.json`, if the folder that was read has one.
    pub(crate) fn generation(&self) -> Option<Value> {
        let folder = self.0.as_ref()?;
        serde_json::from_str(folder.generation.as_deref()?).ok()
    }

    /// Returns `config.json` of a saved model, whose own description is `own`.
    pub(crate) fn config(&self, own: Value) -> Value {
        let (Some(folder), Value::Object(own)) = (&self.0, &own) else {
            return own;
        };
        let mut config = folder.config.clone();
        config.retain(|key, _| !WRONG.contains(&key.as_str()));
        let same_class = config.get("architectures") == own.get("architectures");
        if !same_class {
            config.retain(|key, _| !OF_CLASS.contains(&key.as_str()));
        }
        for (key, value) in own {
            let before = config.get(key);
            let keep = match key.as_str() {
                key if FIRST.contains(&key) => before.is_some_and(|value| !value.is_null()),
                // The folder has a list of end tokens; the model's configuration holds only the
                // first.
                "eos_token_id" if before.is_some_and(Value::is_array) => true,
                key if IDS.contains(&key) => before.is_none() && value.is_null(),
                _ => false,
            };
            if !keep {
                config.insert(key.clone(), value.clone());
            }
        }
        Value::Object(config)
    }
}
