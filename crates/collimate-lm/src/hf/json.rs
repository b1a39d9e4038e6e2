//! Reading of `config.json` and similar files, with errors that name the file and the key.

use std::path::{Path, PathBuf};

use collimate_nn::{LoadError, SaveError};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::save::write_file;
use crate::peft::root;

/// A parsed JSON object with the path of its file.
pub(crate) struct JsonConfig {
    pub(crate) path: PathBuf,
    map: Map<String, Value>,
}

impl JsonConfig {
    /// Reads the `config.json` of a model folder, or of the base model under an adapter.
    pub(crate) fn read(dir: &Path) -> Result<Self, LoadError> {
        Self::read_file(root(dir)?.join("config.json"))
    }

    /// Reads any JSON object, in a file or inside a GGUF file.
    pub(crate) fn read_file(path: PathBuf) -> Result<Self, LoadError> {
        if let Some(map) = inside(&path)? {
            return Ok(Self { path, map });
        }
        let text = std::fs::read_to_string(&path).map_err(|source| LoadError::Io {
            path: path.clone(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Reads a JSON object; returns `None` if the file does not exist.
    pub(crate) fn read_if_there(path: PathBuf) -> Result<Option<Self>, LoadError> {
        if let Some(map) = inside(&path)? {
            return Ok(Some(Self { path, map }));
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(path, &text).map(Some),
            Err(error) if is_missing(&error) => Ok(None),
            Err(source) => Err(LoadError::Io { path, source }),
        }
    }

    /// Parses the text of a file into an object.
    pub(crate) fn parse(path: PathBuf, text: &str) -> Result<Self, LoadError> {
        match serde_json::from_str(text) {
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

    /// Returns all keys and values of the file.
    pub(crate) fn map(&self) -> &Map<String, Value> {
        &self.map
    }

    /// Returns true if a key is present, even with null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Returns a value that is present and not null.
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Returns a value, or `None` if it is absent or null.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, LoadError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|error| self.invalid(format!("{key}: {error}")))
    }

    /// Returns a text, or `None` if it is absent or null.
    pub(crate) fn string(&self, key: &str) -> Result<Option<String>, LoadError> {
        self.get(key)
    }

    /// Returns a nested object, or `None` if it is absent or null.
    pub(crate) fn object(&self, key: &str) -> Result<Option<&Map<String, Value>>, LoadError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(self.invalid(format!("{key} is {other}: expected an object"))),
        }
    }

    /// Returns a value that must be present.
    pub(crate) fn require<T: DeserializeOwned>(&self, key: &str) -> Result<T, LoadError> {
        self.get(key)?.ok_or_else(|| {
            let file = self.path.file_name().unwrap_or_default();
            self.invalid(format!(
                "{key} is missing: take the {} of the checkpoint",
                file.to_string_lossy()
            ))
        })
    }

    /// Returns token ids: one, a list, or none. A single negative number means that there is no
    /// such token.
    pub(crate) fn token_ids(&self, key: &str) -> Result<Vec<u32>, LoadError> {
        let id = |value: &Value| match value.as_u64().map(u32::try_from) {
            Some(Ok(id)) => Ok(id),
            _ => Err(self.invalid(format!(
                "{key} has {value}: a token id is a whole number from 0 to {}",
                u32::MAX
            ))),
        };
        match self.value(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(id).collect(),
            Some(Value::Number(n)) if n.as_i64().is_some_and(|id| id < 0) => Ok(Vec::new()),
            Some(one) => Ok(vec![id(one)?]),
        }
    }

    /// Returns a token id. If the file gives a list, returns the first entry.
    pub(crate) fn token_id(&self, key: &str) -> Result<Option<u32>, LoadError> {
        Ok(self.token_ids(key)?.first().copied())
    }

    /// Refuses a key whose value is not one of `allowed`. Absent and null are allowed.
    pub(crate) fn only(&self, key: &str, allowed: &[&str]) -> Result<(), LoadError> {
        match self.value(key) {
            None => Ok(()),
            Some(Value::String(text)) if allowed.contains(&text.as_str()) => Ok(()),
            Some(other) => Err(self.unsupported(format!("{key} = {other}"), &allowed.join(", "))),
        }
    }

    /// Refuses options of other families that would change the model's function. Each option comes
    /// with the value that changes nothing. Absent, null, false and empty values change nothing
    /// either.
    pub(crate) fn neutral(&self, options: &[(&str, f64)]) -> Result<(), LoadError> {
        for (key, nothing) in options {
            let changes = match self.value(key) {
                None | Some(Value::Null | Value::Bool(false)) => false,
                Some(Value::Array(list)) => !list.is_empty(),
                Some(Value::Object(map)) => !map.is_empty(),
                Some(Value::Number(number)) => number.as_f64() != Some(*nothing),
                Some(Value::Bool(true) | Value::String(_)) => true,
            };
            if changes {
                let what = format!("{key} = {}", self.map[*key]);
                return Err(self.unsupported(what, &format!("no {key}")));
            }
        }
        Ok(())
    }

    /// Refuses a classifier with more than one output. Transformers stores the number of outputs as
    /// the size of `id2label`. If the file gives no number, the shape of the head decides.
    pub(crate) fn one_label(&self) -> Result<(), LoadError> {
        let stored = self.object("id2label")?.map_or(1, Map::len);
        match self.get("num_labels")?.unwrap_or(stored) {
            1 => Ok(()),
            more => Err(self.unsupported(
                format!("num_labels = {more} of a decoder"),
                "num_labels = 1: keep the row of score.weight that is the reward",
            )),
        }
    }

    /// Returns an error that names an option of this file which is not implemented.
    pub(crate) fn unsupported(&self, what: String, supported: &str) -> LoadError {
        LoadError::Unsupported {
            path: self.path.clone(),
            what,
            supported: supported.to_owned(),
        }
    }

    /// Returns the error for an invalid value.
    pub(crate) fn invalid(&self, message: impl ToString) -> LoadError {
        LoadError::Invalid {
            path: self.path.clone(),
            message: message.to_string(),
        }
    }
}

/// Returns true if there is no such file, also if the path leads into a file.
fn is_missing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Returns the object that a path names inside a GGUF file.
fn inside(path: &Path) -> Result<Option<Map<String, Value>>, LoadError> {
    match collimate_gguf::file_inside(path) {
        Ok(Some(Value::Object(map))) => Ok(Some(map)),
        Ok(_) => Ok(None),
        Err(error) => Err(gguf_error(path, &error)),
    }
}

/// Returns the error of a GGUF file.
pub(super) fn gguf_error(path: &Path, error: &collimate_gguf::GgufError) -> LoadError {
    LoadError::Gguf {
        path: path.to_owned(),
        message: error.to_string(),
    }
}

/// Writes formatted JSON; the file appears complete or not at all.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), SaveError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| SaveError::Serialize {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    text.push('\n');
    write_file(path, text.as_bytes())
}
