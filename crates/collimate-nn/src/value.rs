//! A value per completion token.

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
/// A reward model's backbone and head make one: before the first token its value is then what the
/// head reads at the prompt's last token.
#[derive(Module, Debug)]
pub struct ValueModel<B: Backbone> {
    /// The network.
    pub backbone: B,
    /// Its scalar head.
    pub head: ScalarHead,
}

impl<B: Backbone> ValueModel<B> {
    /// A critic of these parts.
    pub fn from_parts(backbone: B, head: ScalarHead) -> Self {
        Self { backbone, head }
    }

    /// The value before every completion token of the batch.
    ///
    /// # Shapes
    /// Result `[completion tokens]`, sequence after sequence, as
    /// [`token_logps`](crate::token_logps) orders them.
    pub fn values(&self, batch: &DeviceBatch, f: Forward) -> Tensor<1> {
        let hidden = self.backbone.hidden_at(batch, batch.sources(), f);
        self.head.forward(hidden)
    }
}
