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

/// Returns the JSON object in a file, empty if the file does not exist.
pub(super) fn object(path: &Path) -> Result<Map<String, Value>, DataError> {
    if !path.is_file() {
        return Ok(Map::new());
    }
    let bytes = fs::read(path).map_err(|e| io(path, "cannot be read", e))?;
    serde_json::from_slice(&bytes).map_err(|e| DataError::Tokenizer {
        path: path.to_owned(),
        what: format!("not a JSON object: {e}"),
    })
}

pub(super) fn io(path: &Path, what: &str, source: std::io::Error) -> DataError {
    DataError::Io {
        path: path.to_owned(),
        what: what.to_owned(),
        source,
    }
}
