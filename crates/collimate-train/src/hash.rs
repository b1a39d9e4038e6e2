//! Hashes that identify inputs.

use std::io::Write;

use serde::Serialize;

/// Returns the blake3 hash of a value's JSON text, in hex. The hash identifies training data and
/// the inputs of a stage.
///
/// # Panics
/// Panics if the value cannot be written as JSON (a map whose keys are not strings).
///
/// # Examples
/// ```
/// let a = collimate_train::hash_json(&("sft", 1e-5, [1, 2]));
/// assert_eq!(a.len(), 64);
/// assert_ne!(a, collimate_train::hash_json(&("sft", 1e-5, [2, 1])));
/// ```
pub fn hash_json(value: &impl Serialize) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut text = std::io::BufWriter::with_capacity(1 << 16, &mut hasher);
    serde_json::to_writer(&mut text, value).expect("stage inputs have text keys");
    text.flush().expect("a hasher takes everything");
    drop(text);
    hasher.finalize().to_hex().to_string()
}
