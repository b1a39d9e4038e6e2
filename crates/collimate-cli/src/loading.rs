//! Number types in which the weights of a folder's model are held in memory.

use clap::ValueEnum;
use collimate::lm::Llama;
use collimate::nn::{Adaptable, Backbone, CausalLm, LoadOptions, WeightType};
use collimate::ops::{CacheType, PackedType, SavedType};
use collimate::prelude::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Returns the options of loading a model that is not trained: its matrices keep the folder's type,
/// so that bf16 and f16 take half of the memory of f32.
pub(crate) fn frozen(device: &Device) -> LoadOptions<'_> {
    LoadOptions::from(device).with_weights(WeightType::Stored)
}

/// Number type of the copies of the weights that a model writes answers with, on flex.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GenerationWeights {
    /// The weights as they are
    #[default]
    Exact,
    /// bf16: half of the memory of f32, and faster
    Bf16,
    /// 8 bits, in steps of a 127th of the largest weight of an output, with inputs in steps of a
    /// 16383rd of the largest of a row: a quarter of the memory of f32, and the fastest
    Int8,
}

impl GenerationWeights {
    /// Returns the model with copies of this type.
    pub(crate) fn of(self, model: Llama) -> Llama {
        model.with_packed(match self {
            Self::Exact => None,
            Self::Bf16 => Some(PackedType::Bf16),
            Self::Int8 => Some(PackedType::Int8),
        })
    }

    /// Returns the largest number of bytes that a weight of the copy takes.
    pub(crate) fn bytes(self) -> f64 {
        match self {
            Self::Exact => 4.0,
            Self::Bf16 => 2.0,
            Self::Int8 => 1.0,
        }
    }
}

/// Number type of the keys and values that a model keeps while it writes answers, on flex.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GenerationCache {
    /// Keys and values as they are, in 32 bits
    #[default]
    Exact,
    /// 8 bits, in steps of a 127th of the largest size in a token's head: about a quarter of the
    /// memory
    Int8,
}

impl GenerationCache {
    /// Returns the model with caches of this type.
    pub(crate) fn of(self, model: Llama) -> Llama {
        model.with_cache_type(match self {
            Self::Exact => CacheType::F32,
            Self::Int8 => CacheType::Int8,
        })
    }

    /// Returns the number of bytes of a number in a head of `head_dim` numbers.
    pub(crate) fn bytes(self, head_dim: usize) -> f64 {
        match self {
            Self::Exact => 4.0,
            Self::Int8 => 1.0 + 4.0 / head_dim.max(1) as f64,
        }
    }
}

/// Number type of the activations that are saved for the backward pass.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SavedActivations {
    /// bf16 beside frozen matrices of 16 bits, f32 otherwise
    #[default]
    Auto,
    /// 32-bit floats
    F32,
    /// bf16: half of the memory
    Bf16,
}

impl SavedActivations {
    /// Returns the type for a model; `half` is true if its matrices have 16 bits.
    pub(crate) fn for_weights(self, half: bool) -> SavedType {
        match self {
            Self::Auto if half => SavedType::Bf16,
            Self::Auto | Self::F32 => SavedType::F32,
            Self::Bf16 => SavedType::Bf16,
        }
    }

    /// Returns the type for the matrices that a model holds.
    pub(crate) fn beside(self, model: &mut impl Adaptable) -> SavedType {
        let linears = model.linears_mut().into_iter();
        let mut bytes = linears.map(|(_, linear)| linear.weight.val().dtype().size());
        self.for_weights(bytes.any(|bytes| bytes == 2))
    }

    /// Returns the model, saving activations of this type.
    pub(crate) fn of<M: Adaptable + Backbone>(self, mut model: M) -> M {
        let saved = self.beside(&mut model);
        model.with_saved(saved)
    }
}
