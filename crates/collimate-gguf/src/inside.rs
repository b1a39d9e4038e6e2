//! A GGUF file as if it were the folder of a Hugging Face model.

use std::path::Path;

use serde_json::Value;

use crate::{Gguf, GgufError};

/// Returns the file that a path names inside a GGUF file, such as `model.gguf/config.json`. Returns
/// `None` if the path does not lead into a file, or if a GGUF model has no such file.
///
/// The files are `config.json`, `generation_config.json`, `tokenizer.json` and
/// `tokenizer_config.json`. A reader of folders can call this function where a file is missing, and
/// so opens GGUF files too.
///
/// # Errors
/// Fails as [`Gguf::open`], [`Gguf::hugging_face`] and the functions of [`HfModel`](crate::HfModel)
/// do.
///
/// # Examples
/// ```
/// # let dir = env!("CARGO_MANIFEST_DIR");
/// let file = std::path::Path::new(dir).join("tests/fixtures/tiny_llama.gguf");
/// let config = collimate_gguf::file_inside(&file.join("config.json"))?;
/// assert_eq!(config.unwrap()["model_type"], "llama");
/// assert_eq!(collimate_gguf::file_inside(&file.join("vocab.txt"))?, None);
/// # Ok::<(), collimate_gguf::GgufError>(())
/// ```
pub fn file_inside(path: &Path) -> Result<Option<Value>, GgufError> {
    let (Some(outer), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    let name = name.to_string_lossy();
    let known = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    if !known.contains(&&*name) || !outer.is_file() {
        return Ok(None);
    }
    let gguf = Gguf::open(outer)?;
    let model = gguf.hugging_face()?;
    let value = match &*name {
        "config.json" => model.config(),
        "generation_config.json" => model.generation_config(),
        "tokenizer.json" => model.tokenizer(),
        _ => model.tokenizer_config(),
    };
    value.map(Some)
}
