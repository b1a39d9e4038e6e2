//! Options of writing a model's folder.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Number type of the weights in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StoredType {
    /// 32 bits: the values as they are in memory.
    #[default]
    F32,
    /// 16 bits with the range of f32 and 8 bits of precision. Values are rounded to the nearest.
    Bf16,
    /// 16 bits with 11 bits of precision. Values above 65504 are refused.
    F16,
}

impl StoredType {
    /// Returns the name that `config.json` of transformers uses, such as `float32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// Options of writing a model's folder ([`HfFolder::save_with`](crate::HfFolder::save_with)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SaveOptions {
    /// Number type of the weights.
    pub dtype: StoredType,
    /// Largest size of a file with weights, in bytes. A larger model is written as several files
    /// with an index; a tensor is never split. `None`: one file.
    pub shard_bytes: Option<u64>,
    /// Padding token for the configuration of a reward model. `None`: a decoder keeps its padding
    /// token, or uses the token that begins a text.
    pub pad_token_id: Option<u32>,
    /// Longest sequence, in tokens, for the saved folder of an encoder reward model. `None`: the
    /// model's own limit.
    pub max_length: Option<usize>,
}

/// Base model of an adapter that is written ([`HfFolder::save_adapter`](crate::HfFolder::save_adapter)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdapterBase<'a> {
    /// Folder that the model was read from. If the folder holds an adapter, the written adapter
    /// includes that adapter and belongs to the innermost base model.
    pub dir: &'a Path,
    /// Name of the base model in the written folder: a path or a name on a hub.
    pub name: &'a str,
    /// Revision of the base model, if the name is one on a hub.
    pub revision: Option<&'a str>,
}
