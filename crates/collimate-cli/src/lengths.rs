//! Maximum sequence lengths of the user's models, and the part of them that prompts keep.

use std::path::Path;

use collimate::lm::{EncoderConfig, LlamaConfig};
use serde_json::Value;

/// Maximum sequence length of training, in tokens, if neither the user nor the model sets one.
pub(crate) const DEFAULT: usize = 1024;

/// Lowers the default length to the maximum length of the model in a folder. Any other length
/// stays. It is refused later if it is too long for the model.
pub(crate) fn cap(length: &mut usize, given: bool, model: Option<&Path>) {
    let most = model.filter(|_| !given && *length == DEFAULT);
    if let Some(most) = most.and_then(longest) {
        *length = most.min(DEFAULT);
    }
}

/// Returns the maximum sequence length that a folder names: the smaller of the model's positions
/// and the length that the model was trained with.
pub(crate) fn longest(dir: &Path) -> Option<usize> {
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
