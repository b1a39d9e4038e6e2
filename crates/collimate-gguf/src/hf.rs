//! A GGUF model in the terms of a Hugging Face folder.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::family::{self, Keys, Sizes, Slot};
use crate::token::{self, Vocabulary};
use crate::{Gguf, GgufError};

/// A tensor of a Hugging Face folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HfTensor {
    /// Name, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Lengths of the dimensions in row-major order.
    pub shape: Vec<usize>,
}

/// The files of a Hugging Face folder, made from a GGUF model.
///
/// # Examples
/// ```
/// # let dir = env!("CARGO_MANIFEST_DIR");
/// let gguf = collimate_gguf::Gguf::open(format!("{dir}/tests/fixtures/tiny_llama.gguf"))?;
/// let model = gguf.hugging_face()?;
/// assert_eq!(model.config()?["model_type"], "llama");
/// for tensor in model.tensors() {
///     let values = model.values(&tensor.name)?;
///     assert_eq!(values.len(), tensor.shape.iter().product::<usize>());
/// }
/// # Ok::<(), collimate_gguf::GgufError>(())
/// ```
#[derive(Debug)]
pub struct HfModel<'a> {
    keys: Keys<'a>,
    sizes: Sizes,
    slots: Vec<Slot>,
    names: HashMap<String, usize>,
    vocabulary: Vocabulary<'a>,
}

impl Gguf {
    /// Compares the model with the architectures that this crate knows, and returns the model in
    /// the terms of a Hugging Face folder.
    ///
    /// # Errors
    /// Returns an error if the architecture is not llama, qwen2, qwen3, gemma, gemma2 or gemma3, if
    /// a tensor is missing, unknown or of the wrong shape, or if a metadata value of the
    /// architecture or of the tokenizer is not known.
    pub fn hugging_face(&self) -> Result<HfModel<'_>, GgufError> {
        let arch = family::arch(self)?;
        let keys = Keys { gguf: self, arch };
        let (sizes, slots) = family::sizes(&keys)?;
        let vocabulary = Vocabulary::read(self, sizes.vocab)?;
        let names = slots.iter().enumerate();
        Ok(HfModel {
            names: names
                .map(|(index, slot)| (slot.hf.clone(), index))
                .collect(),
            keys,
            sizes,
            slots,
            vocabulary,
        })
    }
}

impl HfModel<'_> {
    /// Returns `config.json`.
    ///
    /// # Errors
    /// Returns an error if a number is missing or cannot be expressed.
    pub fn config(&self) -> Result<Value, GgufError> {
        let mut config = family::config(&self.keys, &self.sizes)?;
        for (name, key) in [
            ("bos_token_id", "bos_token_id"),
            ("eos_token_id", "eos_token_id"),
            ("pad_token_id", "padding_token_id"),
        ] {
            config.insert(name.to_owned(), json!(self.vocabulary.id(key)?));
        }
        Ok(config.into())
    }

    /// Returns names and shapes of all tensors.
    pub fn tensors(&self) -> Vec<HfTensor> {
        let tensor = |slot: &Slot| HfTensor {
            name: slot.hf.clone(),
            shape: slot.shape.clone(),
        };
        self.slots.iter().map(tensor).collect()
    }

    /// Reads the values of a tensor in row-major order, in the form of Hugging Face: the rows of
    /// queries and keys of a llama are in their order, and norm weights of Gemma lack the added 1.
    ///
    /// # Errors
    /// Returns an error if the model has no such tensor, or for the reasons of [`Gguf::values`].
    pub fn values(&self, name: &str) -> Result<Vec<f32>, GgufError> {
        let gguf = self.keys.gguf;
        let index = self.names.get(name);
        let index = index.ok_or_else(|| gguf.wrong(name, "is not a tensor of the model"))?;
        let slot = &self.slots[*index];
        Ok(slot.to_hf(gguf.values(&slot.gguf)?))
    }

    /// Returns `tokenizer.json`.
    ///
    /// # Errors
    /// Returns an error if the tokenizer splits words by a rule that is not known, or if a list is
    /// missing or does not fit the vocabulary.
    pub fn tokenizer(&self) -> Result<Value, GgufError> {
        token::tokenizer(&self.vocabulary)
    }

    /// Returns `tokenizer_config.json`, which includes the chat template.
    ///
    /// # Errors
    /// Returns an error if a value has the wrong type.
    pub fn tokenizer_config(&self) -> Result<Value, GgufError> {
        let context = self.keys.need_count("context_length")?;
        token::config(&self.vocabulary, &json!(context))
    }

    /// Returns `generation_config.json` with the ids of all tokens that end a text or a turn.
    ///
    /// # Errors
    /// Returns an error if a value has the wrong type.
    pub fn generation_config(&self) -> Result<Value, GgufError> {
        token::generation(&self.vocabulary)
    }
}
