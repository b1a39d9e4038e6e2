//! Files of a tokenizer folder.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::DataError;

pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const CONFIG: &str = "tokenizer_config.json";
pub(super) const SPECIAL: &str = "special_tokens_map.json";
pub(super) const GENERATION: &str = "generation_config.json";
pub(super) const MODEL: &str = "config.json";

/// Returns the JSON object in a file, empty if the file does not exist. A path may lead into a GGUF
/// file.
pub(super) fn object(path: &Path) -> Result<Map<String, Value>, DataError> {
    if !path.is_file() {
        return Ok(match inside(path)? {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        });
    }
    let bytes = fs::read(path).map_err(|e| io(path, "cannot be read", e))?;
    serde_json::from_slice(&bytes).map_err(|e| DataError::Tokenizer {
        path: path.to_owned(),
        what: format!("not a JSON object: {e}"),
    })
}

/// Returns the file that a path names inside a GGUF file.
pub(super) fn inside(path: &Path) -> Result<Option<Value>, DataError> {
    collimate_gguf::file_inside(path).map_err(DataError::Gguf)
}

pub(super) fn io(path: &Path, what: &str, source: std::io::Error) -> DataError {
    DataError::Io {
        path: path.to_owned(),
        what: what.to_owned(),
        source,
    }
}
