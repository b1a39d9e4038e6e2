//! End tokens named by a folder.

use std::path::Path;

use collimate_nn::LoadError;

use super::json::JsonConfig;
use super::kept::GENERATION;
use crate::peft::root;

const KEY: &str = "eos_token_id";

/// Returns the tokens that end a completion: those of `generation_config.json`, else those of
/// `config.json`. If neither names any, the list is empty and the tokenizer's EOS applies.
///
/// # Errors
/// A file cannot be read, or an id is not valid.
pub fn eos_token_ids(dir: &Path) -> Result<Vec<u32>, LoadError> {
    let dir = &root(dir)?;
    if let Some(generation) = JsonConfig::read_if_there(dir.join(GENERATION))? {
        let ids = generation.token_ids(KEY)?;
        if !ids.is_empty() {
            return Ok(ids);
        }
    }
    JsonConfig::read(dir)?.token_ids(KEY)
}
