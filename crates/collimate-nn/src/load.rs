//! Options of reading a model's folder.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// Number type in which the matrices of linear layers and the table of token embeddings are held in
/// memory. Norms, biases, other tables and the head of a reward model are always f32, and so are all
/// values that the network computes.
///
/// A matrix of 16 bits is frozen: it gets no gradient, and a training without adapters would not
/// change it. To train all weights, read the folder as
/// [`F32`](Self::F32), or make them trainable with [`set_trainable`](crate::set_trainable), which
/// widens them. Low-rank adapters ([`Adaptable::with_lora`](crate::Adaptable::with_lora)) train
/// beside frozen matrices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WeightType {
    /// 32 bits.
    #[default]
    F32,
    /// The type of the file: a matrix of bf16 or f16 stays as it is, which halves its memory and
    /// changes no value. Matrices of other types become f32. A device that does not hold the type
    /// gets f32.
    Stored,
    /// bf16, 16 bits: matrices of other types are rounded to 8 bits of precision.
    Bf16,
}

/// Device and number type of a model that is read ([`HfFolder::load`](crate::HfFolder::load)). A
/// device alone means f32.
///
/// # Examples
/// ```
/// use burn::tensor::Device;
/// use collimate_nn::{LoadOptions, WeightType};
///
/// let device = Device::flex();
/// assert_eq!(LoadOptions::from(&device).weights, WeightType::F32);
/// let frozen = LoadOptions::from(&device).with_weights(WeightType::Stored);
/// assert_eq!(frozen.weights, WeightType::Stored);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions<'a> {
    /// Device of the weights.
    pub device: &'a Device,
    /// Number type of the matrices.
    pub weights: WeightType,
}

impl LoadOptions<'_> {
    /// Sets the number type of the matrices.
    #[must_use]
    pub fn with_weights(self, weights: WeightType) -> Self {
        Self { weights, ..self }
    }
}

impl<'a> From<&'a Device> for LoadOptions<'a> {
    fn from(device: &'a Device) -> Self {
        Self {
            device,
            weights: WeightType::F32,
        }
    }
}
