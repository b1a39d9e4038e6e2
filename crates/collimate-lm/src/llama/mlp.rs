//! Feed-forward layer of a decoder.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use collimate_core::Key;
use collimate_nn::{Linear, RowForward};
use collimate_ops::{geglu, geglu_tanh, gelu, gelu_tanh, swiglu};

use super::config::LlamaConfig;
use super::design::{Activation, MlpKind};
use super::layer::LayerSpec;

/// A feed-forward layer; field names as in Hugging Face files of Llama and Phi-3.
#[derive(Module, Debug)]
pub(crate) struct Mlp {
    pub(crate) gate_proj: Option<Linear>,
    pub(crate) up_proj: Option<Linear>,
    /// Matrix that gives gate and up together.
    pub(crate) gate_up_proj: Option<Linear>,
    pub(crate) down_proj: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    pub(crate) fn new(c: &LlamaConfig, spec: LayerSpec, key: Key, device: &Device) -> Self {
        let design = c.family().design;
        let (wide, width) = (c.intermediate_size, c.hidden_size);
        let linear = |shape, part| {
            let std = c.initializer_range;
            Linear::new(shape, spec.mlp_bias, std, key.with(part), device)
        };
        let gated = design.mlp == MlpKind::Gated;
        let stacked = design.mlp == MlpKind::GatedStacked;
        Self {
            gate_proj: gated.then(|| linear([wide, width], 0)),
            up_proj: (!stacked).then(|| linear([wide, width], 1)),
            gate_up_proj: stacked.then(|| linear([2 * wide, width], 0)),
            down_proj: linear([width, wide], 2),
            activation: design.activation,
        }
    }

    /// Returns the matrices that read the layer's input, in the order in which [`Self::act`] takes
    /// their results.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &Linear> {
        [&self.gate_proj, &self.up_proj, &self.gate_up_proj]
            .into_iter()
            .flatten()
    }

    pub(crate) fn forward(&self, x: Tensor<2>, f: RowForward<'_>) -> Tensor<2> {
        let run = |linear: &Option<Linear>, part| {
            let linear = linear.as_ref();
            linear.map(|linear| linear.forward(x.clone(), f.part(part)))
        };
        let parts = [
            run(&self.gate_proj, 0),
            run(&self.up_proj, 1),
            run(&self.gate_up_proj, 0),
        ];
        let inner = self.act(parts.into_iter().flatten().collect());
        self.down_proj.forward(inner, f.part(2))
    }

    /// Combines the results of the first matrices into the input of the last matrix.
    pub(crate) fn act(&self, parts: Vec<Tensor<2>>) -> Tensor<2> {
        let mut parts = parts.into_iter();
        let first = parts
            .next()
            .expect("a layer has a matrix that reads its input");
        let (gate, up) = match (parts.next(), &self.gate_up_proj) {
            (Some(up), _) => (first, up),
            (None, Some(_)) => {
                let half = first.dims()[1] / 2;
                (
                    first.clone().narrow(1, 0, half),
                    first.narrow(1, half, half),
                )
            }
            (None, None) => {
                return match self.activation {
                    Activation::Silu => burn::tensor::activation::silu(first),
                    Activation::Gelu => gelu(first),
                    Activation::GeluTanh => gelu_tanh(first),
                };
            }
        };
        match self.activation {
            Activation::Silu => swiglu(gate, up),
            Activation::Gelu => geglu(gate, up),
            Activation::GeluTanh => geglu_tanh(gate, up),
        }
    }
}
