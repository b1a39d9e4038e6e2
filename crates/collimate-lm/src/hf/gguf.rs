//! Writing of decoders as GGUF files for llama.cpp.

use std::path::Path;

use collimate_data::TextTokenizer;
use collimate_gguf::{Export, HfFolder, HfTensor, OutType, write_hugging_face};
use collimate_nn::{Adaptable, SaveError};
use serde_json::Value;

use super::save::{Stored, collected};

/// Writes a model with its tokenizer as a GGUF file. `config` and `generation` are the contents of
/// `config.json` and `generation_config.json`.
pub(crate) fn save_gguf<M: Adaptable>(
    model: &M,
    (config, generation): (&Value, Option<&Value>),
    tokenizer: &TextTokenizer,
    out_type: OutType,
    path: &Path,
    stored: impl Fn(&str) -> Stored,
) -> Result<Export, SaveError> {
    let fail = |message: String| SaveError::Serialize {
        path: path.to_owned(),
        message,
    };
    let json = tokenizer.to_json().map_err(|e| fail(e.to_string()))?;
    let json: Value = serde_json::from_str(&json).map_err(|e| fail(e.to_string()))?;
    let written = collected(model, |path| Some(stored(path)));
    let tensor = |tensor: &super::Written| HfTensor {
        name: tensor.name.clone(),
        shape: tensor.shape.clone(),
    };
    let tensors: Vec<HfTensor> = written.iter().map(tensor).collect();
    let folder = HfFolder {
        config,
        tokenizer: &json,
        tokenizer_config: &tokenizer.config_json(),
        generation_config: generation,
        chat_template: None,
        tensors: &tensors,
        name: None,
    };
    let export = write_hugging_face(path, &folder, out_type, |name| {
        let tensor = written.iter().find(|tensor| tensor.name == name);
        let tensor = tensor.ok_or_else(|| format!("there is no tensor {name}"))?;
        let mut values = Vec::with_capacity(tensor.shape.iter().product());
        tensor.each(&mut |part| {
            values.extend_from_slice(part);
            Ok(())
        })?;
        Ok(values)
    });
    export.map_err(|error| fail(error.to_string()))
}
