//! A Hugging Face folder as a GGUF file.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::writer::{GgufWriter, ValuesError};
use crate::family::{self, Json, Slot};
use crate::token::{self, Tokens};
use crate::{GgufError, HfTensor, MetadataValue, TensorType};

/// Version of the quantised types.
const QUANTIZATION_VERSION: u32 = 2;
/// Tensors of a folder that repeat numbers of `config.json`.
const DERIVED: [&str; 2] = [".rotary_emb.inv_freq", ".attention.bias"];

/// Type of the matrices in an exported file. Norms and biases are always F32. A matrix whose rows
/// do not consist of whole blocks becomes F16, as in llama.cpp's converter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutType {
    /// 32 bits for a value.
    F32,
    /// 16 bits for a value.
    F16,
    /// 16 bits for a value, with the range of F32.
    Bf16,
    /// 8.5 bits for a value.
    Q8_0,
}

impl OutType {
    fn kind(self) -> TensorType {
        match self {
            Self::F32 => TensorType::F32,
            Self::F16 => TensorType::F16,
            Self::Bf16 => TensorType::Bf16,
            Self::Q8_0 => TensorType::Q8_0,
        }
    }

    /// Returns the value of `general.file_type`.
    fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 32,
            Self::Q8_0 => 7,
        }
    }

    /// Returns the type of a tensor. Norms and biases have one dimension.
    fn of(self, shape: &[usize]) -> TensorType {
        let kind = self.kind();
        let row = shape.last().copied().unwrap_or(0);
        if shape.len() < 2 {
            TensorType::F32
        } else if row.is_multiple_of(kind.block_values()) {
            kind
        } else {
            TensorType::F16
        }
    }
}

/// The contents of a Hugging Face folder.
#[derive(Debug, Clone, Copy)]
pub struct HfFolder<'a> {
    /// `config.json`.
    pub config: &'a Value,
    /// `tokenizer.json`.
    pub tokenizer: &'a Value,
    /// `tokenizer_config.json`.
    pub tokenizer_config: &'a Value,
    /// `generation_config.json`, whose `eos_token_id` may name several tokens.
    pub generation_config: Option<&'a Value>,
    /// `chat_template.jinja`, which has precedence over the template of `tokenizer_config.json`.
    pub chat_template: Option<&'a str>,
    /// Names and shapes of all tensors of the folder.
    pub tensors: &'a [HfTensor],
    /// Name of the model for people, `general.name`.
    pub name: Option<&'a str>,
}

/// An exported file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Number of bytes of the file.
    pub bytes: u64,
    /// Things of the folder that the file does not contain, because no text can reach them or
    /// llama.cpp has no place for them. Show them to the user.
    pub left_out: Vec<String>,
}

/// Writes a model of a Hugging Face folder as a GGUF file for llama.cpp. `values` gets the name of
/// each tensor of the folder in turn and returns the values in row-major order.
///
/// The file gets its name after the last byte, as with [`GgufWriter::write`].
///
/// # Errors
/// Returns an error if the folder has a value that llama.cpp cannot honour, if a tensor is missing,
/// unknown or of the wrong shape, and for the reasons of [`GgufWriter::write`].
pub fn write_hugging_face(
    path: &Path,
    folder: &HfFolder<'_>,
    out_type: OutType,
    mut values: impl FnMut(&str) -> Result<Vec<f32>, ValuesError>,
) -> Result<Export, GgufError> {
    let model = family::model(folder.config)?;
    let json = |file, object| Json { file, object };
    let tokens = token::metadata(&Tokens {
        tokenizer: folder.tokenizer,
        settings: json("tokenizer_config.json", folder.tokenizer_config),
        generation: folder
            .generation_config
            .map(|object| json("generation_config.json", object)),
        config: json(family::CONFIG, folder.config),
        template: folder.chat_template,
        rows: model.sizes.vocab,
    })?;
    let mut left_out = tokens.left_out;
    let slots = slots(&model, folder.tensors, &mut left_out)?;
    let mut writer = GgufWriter::new();
    let text = |text: &str| MetadataValue::String(text.to_owned());
    writer.set(family::ARCHITECTURE, text(model.sizes.arch.name()))?;
    writer.set("general.type", text("model"))?;
    if let Some(name) = folder.name {
        writer.set("general.name", text(name))?;
    }
    writer.set(
        "general.file_type",
        MetadataValue::U32(out_type.file_type()),
    )?;
    let version = MetadataValue::U32(QUANTIZATION_VERSION);
    writer.set("general.quantization_version", version)?;
    for (key, value) in model.metadata.into_iter().chain(tokens.metadata) {
        writer.set(&key, value)?;
    }
    if let Some((name, factors)) = &model.factors {
        writer.add_tensor(name, vec![factors.len()], TensorType::F32)?;
    }
    for slot in &slots {
        let kind = out_type.of(&slot.shape);
        writer.add_tensor(&slot.gguf, slot.shape.clone(), kind)?;
    }
    let slots: HashMap<&str, &Slot> = slots
        .iter()
        .map(|slot| (slot.gguf.as_str(), slot))
        .collect();
    let bytes = writer.write(path, |name| match (slots.get(name), &model.factors) {
        (Some(slot), _) => {
            let own = values(&slot.hf)?;
            let expected: usize = slot.shape.iter().product();
            // The reordering of rows needs whole rows. The writer reports the wrong number.
            Ok(match own.len() == expected {
                true => slot.to_gguf(own),
                false => own,
            })
        }
        (None, Some((_, factors))) => Ok(factors.clone()),
        (None, None) => Ok(Vec::new()),
    })?;
    Ok(Export { bytes, left_out })
}

/// Compares the tensors of the folder with the tensors of the model.
fn slots(
    model: &family::Model,
    tensors: &[HfTensor],
    left_out: &mut Vec<String>,
) -> Result<Vec<Slot>, GgufError> {
    let layers = model.sizes.layers;
    if layers > tensors.len() {
        let message = format!("is {layers}, but the folder has {} tensors", tensors.len());
        return Err(GgufError::folder(
            family::CONFIG,
            "num_hidden_layers",
            message,
        ));
    }
    let slots = model.sizes.slots();
    let given: HashMap<&str, &HfTensor> = tensors
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor))
        .collect();
    for slot in &slots {
        let Some(tensor) = given.get(slot.hf.as_str()) else {
            return Err(GgufError::plan(&slot.hf, "the folder lacks the tensor"));
        };
        if tensor.shape != slot.shape {
            let message = format!("the shape is {:?}, not {:?}", tensor.shape, slot.shape);
            return Err(GgufError::plan(&slot.hf, message));
        }
    }
    let known: HashMap<&str, &Slot> = slots.iter().map(|slot| (slot.hf.as_str(), slot)).collect();
    for tensor in tensors {
        let name = tensor.name.as_str();
        if known.contains_key(name) {
            continue;
        }
        // With tied embeddings Hugging Face does not use the output matrix either.
        let unused = name == "lm_head.weight" && model.sizes.tied;
        if unused || DERIVED.iter().any(|end| name.ends_with(end)) {
            left_out.push(format!("the tensor {name}"));
        } else {
            let message = format!("the architecture {} has no such tensor", model.sizes.arch);
            return Err(GgufError::plan(name, message));
        }
    }
    Ok(slots)
}
