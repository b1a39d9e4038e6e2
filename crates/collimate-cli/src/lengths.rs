//! Longest sequences of the user's models, and the part of them that prompts keep.

use std::path::Path;

use collimate::lm::{EncoderConfig, LlamaConfig};
use serde_json::Value;

/// Longest sequence of training, in tokens, where the user and the model say nothing.
pub(crate) const DEFAULT: usize = 1024;

/// Lowers the default length to the longest sequence that the model in a folder takes. Another
/// length stays, and is refused later if the model does not take it.
pub(crate) fn cap(length: &mut usize, given: bool, model: Option<&Path>) {
    let most = model.filter(|_| !given && *length == DEFAULT);
    if let Some(most) = most.and_then(longest) {
        *length = most.min(DEFAULT);
    }
}

/// The longest sequence that a folder names: what the model takes, or what it was trained with.
fn longest(dir: &Path) -> Option<usize> {
    let read = |file: &str, key: &str| -> Option<usize> {
        let text = std::fs::read(dir.join(file)).ok()?;
        let value: Value = serde_json::from_slice(&text).ok()?;
        usize::try_from(value.get(key)?.as_u64()?).ok()
    };
    // A table of positions may have rows that no sequence uses.
    let positions = match EncoderConfig::of_folder(dir) {
        Ok(encoder) => Some(encoder.max_positions()),
        Err(_) => LlamaConfig::of_folder(dir).ok().map(|c| c.max_positions()),
    };
    let trained = read("tokenizer_config.json", "model_max_length");
    positions
        .into_iter()
        .chain(trained)
        .filter(|&n| n > 2)
        .min()
}
