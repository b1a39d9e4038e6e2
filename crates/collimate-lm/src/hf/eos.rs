//! Which tokens end a completion, as a folder says it.

use std::path::Path;

use collimate_nn::LoadError;
use serde_json::Value;

use super::config::JsonConfig;

const GENERATION: &str = "generation_config.json";
const KEY: &str = "eos_token_id";

/// The tokens that end a completion: those of `generation_config.json`, else those of `config.json`;
/// empty where neither names one (then the tokenizer's EOS is meant).
///
/// # Errors
/// A file that cannot be read, or ids that are none.
pub fn eos_token_ids(dir: &Path) -> Result<Vec<u32>, LoadError> {
    let generation = dir.join(GENERATION);
    if generation.exists() {
        let ids = JsonConfig::read_file(generation)?.token_ids(KEY)?;
        if !ids.is_empty() {
            return Ok(ids);
        }
    }
    JsonConfig::read(dir)?.token_ids(KEY)
}

impl JsonConfig {
    /// Token ids: one, a list, or none.
    fn token_ids(&self, key: &str) -> Result<Vec<u32>, LoadError> {
        match self.get::<Value>(key)? {
            Some(Value::Array(_)) => Ok(self.get(key)?.unwrap_or_default()),
            _ => Ok(self.token_id(key)?.into_iter().collect()),
        }
    }
}
