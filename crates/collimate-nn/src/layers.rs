//! The small layers that decoders and encoders share; field names as in Hugging Face files.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};
use collimate_core::Key;

use crate::init::normal;

/// A table of vectors, one row per id.
///
/// # Differs from
/// Burn's `Embedding` in nothing that is stored. But it stands beside [`crate::Linear`], whose
/// weight is `[out, in]` as in Hugging Face files: Burn's PyTorch adapters must not be applied.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[rows, width]`.
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// Rows from N(0, std²).
    pub fn new(shape: [usize; 2], std: f64, key: Key, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(normal(shape, std, key, device)),
        }
    }

    /// `[tokens]` ids → `[tokens, width]`.
    pub fn forward(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        collimate_ops::embedding(self.weight.val(), ids)
    }
}

/// Root-mean-square normalisation with a learned scale.
///
/// # Differs from
/// Burn's `RmsNorm`, whose scale is called `gamma`. Names here are those of Hugging Face files, as
/// is the layout `[out, in]` of [`crate::Linear`]: Burn's PyTorch adapters must not be applied.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[width]`.
    pub weight: Param<Tensor<1>>,
    /// Added to the mean square.
    #[module(skip)]
    pub eps: f64,
}

impl RmsNorm {
    /// Scale one.
    pub fn new(width: usize, eps: f64, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::ones([width], device)),
            eps,
        }
    }

    /// `[tokens, width]`, result likewise.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        collimate_ops::rms_norm(x, self.weight.val(), self.eps)
    }
}

/// Layer normalisation with a learned scale and offset.
///
/// # Differs from
/// Burn's `LayerNorm`, whose scale and offset are called `gamma` and `beta`. Names here are those
/// of Hugging Face files, as is the layout `[out, in]` of [`crate::Linear`]: Burn's PyTorch
/// adapters must not be applied.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale, `[width]`.
    pub weight: Param<Tensor<1>>,
    /// Offset, `[width]`.
    pub bias: Param<Tensor<1>>,
    /// Added to the variance.
    #[module(skip)]
    pub eps: f64,
}

impl LayerNorm {
    /// Scale one, offset zero.
    pub fn new(width: usize, eps: f64, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::ones([width], device)),
            bias: Param::from_tensor(Tensor::zeros([width], device)),
            eps,
        }
    }

    /// `[tokens, width]`, result likewise.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        collimate_ops::layer_norm(x, self.weight.val(), self.bias.val(), self.eps)
    }
}
