//! Part of a classification head between the pooled state and its last layer.

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation};
use collimate_core::Key;
use collimate_nn::{LayerNorm, Linear, RowForward};
use collimate_ops::gelu;

use super::config::EncoderConfig;

/// Activation of a classification head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadActivation {
    Gelu,
    Relu,
    Tanh,
}

/// A dense layer over the pooled state, its activation, and an optional normalisation. The last
/// layer, which gives the score, belongs to the reward model
/// ([`ScalarHead`](collimate_nn::ScalarHead)).
#[derive(Module, Debug)]
pub(crate) struct Head {
    pub(crate) dense: Linear,
    pub(crate) norm: Option<LayerNorm>,
}

impl Head {
    pub(crate) fn new(c: &EncoderConfig, key: Key, device: &Device) -> Self {
        let shape = [c.hidden_size, c.hidden_size];
        Self {
            dense: Linear::new(shape, c.head_bias(), c.initializer_range, key, device),
            norm: c.family().head.norm.map(|_| c.norm(device)),
        }
    }

    /// Applies the head to `pooled: [sequences, hidden]`. The result has the same shape.
    pub(crate) fn forward(
        &self,
        pooled: Tensor<2>,
        c: &EncoderConfig,
        f: RowForward<'_>,
    ) -> Tensor<2> {
        let (form, probability) = (&c.family().head, c.head_dropout());
        let x = match form.drops_first {
            true => f.part(0).drop(pooled, probability),
            false => pooled,
        };
        let x = self.dense.forward(x, f.part(1));
        let x = match form.activation {
            HeadActivation::Gelu => gelu(x),
            HeadActivation::Relu => activation::relu(x),
            HeadActivation::Tanh => x.tanh(),
        };
        let x = match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        f.part(2).drop(x, probability)
    }
}
