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
        token_values(self.backbone.hidden(batch, f), &self.head, batch)
    }
}

/// [`ValueModel::values`] from hidden states that are there already: a value head on a policy.
///
/// # Shapes
/// `hidden: [tokens, width]`; result `[completion tokens]`.
pub fn token_values(hidden: Tensor<2>, head: &ScalarHead, batch: &DeviceBatch) -> Tensor<1> {
    let rows = batch
        .sequences
        .iter()
        .flat_map(|s| s.sources.iter().copied());
    head.forward(hidden.select(0, batch.indices(rows)))
}
