//! End tokens, as a folder names them.

use std::path::Path;

use collimate_nn::LoadError;

use super::json::JsonConfig;
use super::kept::GENERATION;

const KEY: &str = "eos_token_id";

/// Returns the tokens that end a completion: those of `generation_config.json`, else those of `config.json`;
/// empty where neither names one (then the tokenizer's EOS is meant).
///
/// # Errors
/// A file that cannot be read, or ids that are none.
pub fn eos_token_ids(dir: &Path) -> Result<Vec<u32>, LoadError> {
    if let Some(generation) = JsonConfig::read_if_there(dir.join(GENERATION))? {
        let ids = generation.token_ids(KEY)?;
        if !ids.is_empty() {
            return Ok(ids);
        }
    }
    JsonConfig::read(dir)?.token_ids(KEY)
}
