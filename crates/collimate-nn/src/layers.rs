//! Small layers that decoders and encoders share, with the field names of Hugging Face files.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};
use collimate_core::Key;

use crate::init::normal;

/// A table of vectors, one row per id.
///
/// # Differs from
/// Burn's `Embedding`, although both store the same. This one is used beside [`crate::Linear`],
/// whose weight is `[out, in]` as in Hugging Face files: do not apply Burn's PyTorch adapters.
#[derive(Module, Debug)]
pub struct Embedding {
    /// Vectors, `[rows, width]`.
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// Creates a table with rows from N(0, std²).
    pub fn new(shape: [usize; 2], std: f64, key: Key, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(normal(shape, std, key, device)),
        }
    }

    /// Looks up ids: `[tokens]` → `[tokens, width]`.
    pub fn forward(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        collimate_ops::embedding(self.weight.val(), ids)
    }
}

/// Root-mean-square normalisation with a learned scale.
///
/// The scale is the weight, or `1 + weight` after [`Self::with_unit_offset`].
///
/// # Differs from
/// Burn's `RmsNorm`, whose scale is called `gamma`. Here the names are those of Hugging Face files,
/// as is the layout `[out, in]` of [`crate::Linear`]: do not apply Burn's PyTorch adapters.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// Learned weight, `[width]`.
    pub weight: Param<Tensor<1>>,
    /// Value added to the mean square.
    #[module(skip)]
    pub eps: f64,
    #[module(skip)]
    unit_offset: bool,
}

impl RmsNorm {
    /// Creates a norm with scale one.
    pub fn new(width: usize, eps: f64, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::ones([width], device)),
            eps,
            unit_offset: false,
        }
    }

    /// Returns a new norm of this width whose scale is `1 + weight`, as in Gemma. The weight starts
    /// at zero.
    ///
    /// ```text
    /// y = x / √(mean(x²) + eps) · (1 + weight)
    /// ```
    ///
    /// # Examples
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use collimate_nn::RmsNorm;
    ///
    /// let device = Device::flex();
    /// let norm = RmsNorm::new(2, 0.0, &device).with_unit_offset();
    /// assert_eq!(norm.weight.val().into_data().to_vec::<f32>().unwrap(), [0.0, 0.0]);
    /// let y = norm.forward(Tensor::from_floats([[1.0, -1.0]], &device));
    /// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [1.0, -1.0]);
    /// ```
    #[must_use]
    pub fn with_unit_offset(self) -> Self {
        Self {
            weight: Param::from_tensor(self.weight.val().detach().zeros_like()),
            unit_offset: true,
            ..self
        }
    }

    /// Returns the factor of each element, `[width]`.
    pub fn scale(&self) -> Tensor<1> {
        match self.unit_offset {
            true => self.weight.val().add_scalar(1.0),
            false => self.weight.val(),
        }
    }

    /// Normalises each row of `x: [tokens, width]`. The result has the same shape.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        collimate_ops::rms_norm(x, self.scale(), self.eps)
    }
}

/// Layer normalisation with a learned scale and an optional offset.
///
/// # Differs from
/// Burn's `LayerNorm`, whose scale and offset are called `gamma` and `beta`. Here the names are
/// those of Hugging Face files, as is the layout `[out, in]` of [`crate::Linear`]: do not apply
/// Burn's PyTorch adapters.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale, `[width]`.
    pub weight: Param<Tensor<1>>,
    /// Offset, `[width]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// Value added to the variance.
    #[module(skip)]
    pub eps: f64,
}

impl LayerNorm {
    /// Creates a norm with scale one and offset zero.
    pub fn new(width: usize, eps: f64, device: &Device) -> Self {
        let bias = Param::from_tensor(Tensor::zeros([width], device));
        Self {
            bias: Some(bias),
            ..Self::without_bias(width, eps, device)
        }
    }

    /// Creates a norm with scale one and no offset.
    pub fn without_bias(width: usize, eps: f64, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::ones([width], device)),
            bias: None,
            eps,
        }
    }

    /// Normalises each row of `x: [tokens, width]`. The result has the same shape.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let bias = self.bias.as_ref().map(Param::val);
        collimate_ops::layer_norm(x, self.weight.val(), bias, self.eps)
    }
}
