//! A head that gives one number per sequence.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use collimate_core::Key;

use crate::init::normal;

/// A linear head with one output: `score = h·wᵀ (+ b)`.
///
/// Hugging Face's `…ForSequenceClassification` with `num_labels = 1` has no bias (`score.weight`);
/// a sentence-transformers `Dense` layer has one.
#[derive(Module, Debug)]
pub struct ScalarHead {
    /// Weight, `[1, hidden]`.
    pub weight: Param<Tensor<2>>,
    /// Bias, `[1]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl ScalarHead {
    /// Creates a head with weights from N(0, std²) and, if `bias` is true, a zero bias.
    pub fn new(hidden: usize, bias: bool, std: f64, key: Key, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(normal([1, hidden], std, key, device)),
            bias: bias.then(|| Param::from_tensor(Tensor::zeros([1], device))),
        }
    }

    /// Computes the scores: `[sequences, hidden]` → `[sequences]`.
    pub fn forward(&self, hidden: Tensor<2>) -> Tensor<1> {
        let bias = self.bias.as_ref().map(Param::val);
        collimate_ops::linear(hidden, self.weight.val(), bias).squeeze_dim(1)
    }
}
