//! A critic that gives one value per completion token.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::batch::DeviceBatch;
use crate::forward::Forward;
use crate::head::ScalarHead;
use crate::traits::Backbone;

/// A critic: the value of the state before each completion token.
///
/// ```text
/// V_t = w · h_{t−1} (+ b),   h_{t−1} the hidden state that predicts token t
/// ```
///
/// The backbone and head of a reward model make a critic. Before the first completion token, its
/// value is then the head's score at the prompt's last token.
#[derive(Module, Debug)]
pub struct ValueModel<B: Backbone> {
    /// Network that computes the hidden states.
    pub backbone: B,
    /// Scalar head that reads them.
    pub head: ScalarHead,
}

impl<B: Backbone> ValueModel<B> {
    /// Creates a critic from its parts.
    pub fn from_parts(backbone: B, head: ScalarHead) -> Self {
        Self { backbone, head }
    }

    /// Computes the value before every completion token of the batch.
    ///
    /// # Shapes
    /// Result `[completion tokens]`, sequence after sequence, as
    /// [`token_logps`](crate::token_logps) orders them.
    pub fn values(&self, batch: &DeviceBatch, f: Forward) -> Tensor<1> {
        let hidden = self.backbone.hidden_at(batch, &batch.sources(), f);
        self.head.forward(hidden)
    }
}
