//! End tokens, as a folder names them.

use std::path::Path;

use collimate_nn::LoadError;

use super::json::JsonConfig;
use super::kept::GENERATION;

const KEY: &str = "eos_token_id";

/// Returns the tokens that end a completion: those of `generation_config.json` and of `config.json`,
/// each once; empty where neither names one (then the tokenizer's EOS is meant).
///
/// # Errors
/// A file that cannot be read, or a value that is no token id.
///
/// # Differs from
/// transformers, whose `generate` takes `config.json` only where there is no `generation_config.json`.
pub fn eos_token_ids(dir: &Path) -> Result<Vec<u32>, LoadError> {
    let mut ids = match JsonConfig::read_if_there(dir.join(GENERATION))? {
        Some(generation) => generation.token_ids(KEY)?,
        None => Vec::new(),
    };
    for id in JsonConfig::read(dir)?.token_ids(KEY)? {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}
