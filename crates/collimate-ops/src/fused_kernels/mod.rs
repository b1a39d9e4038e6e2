//! Operations as kernels: the slices that each one uses, and the gradients that are worth
//! computing.

mod adapted;
mod linear;
mod masked;

use std::sync::Arc;

use crate::fused::{Kernel, Save};
use crate::kernels::half::{HalfMatrix, Weight};
use crate::kernels::norm::Centring;
use crate::kernels::{activation, attention, attention_backward, logp, norm, rows, zeros};
use crate::{AttentionPlan, Heads};
pub(crate) use adapted::{Adapted, Frozen};
pub(crate) use linear::{HalfLinear, Linear};
pub(crate) use masked::Masked;

#[derive(Debug, Clone)]
pub(crate) struct RmsNorm {
    pub(crate) eps: f64,
}

impl Kernel<2> for RmsNorm {
    type Saved = norm::RowStats;
    const CHEAP: bool = true;

    fn saves(&self, _: [bool; 2]) -> [Save; 2] {
        [Save::Activation, Save::Exact]
    }

    fn forward(&self, [x, weight]: [&[f32]; 2]) -> (Vec<f32>, Self::Saved) {
        norm::forward(x, weight, Centring::None, self.eps)
    }

    fn backward(
        &self,
        [x, weight]: [&[f32]; 2],
        saved: &Self::Saved,
        grad: &[f32],
        [dx, dw]: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let grads = norm::backward(x, weight, saved, grad, false, [dx, dw, false]);
        [grads.x, grads.weight]
    }
}

#[derive(Debug, Clone)]
pub(crate) struct LayerNorm {
    pub(crate) eps: f64,
}

impl Kernel<2> for LayerNorm {
    type Saved = norm::RowStats;
    const CHEAP: bool = true;

    /// Rounding could be larger than the deviations from a large mean.
    fn saves(&self, _: [bool; 2]) -> [Save; 2] {
        [Save::Exact, Save::Exact]
    }

    fn forward(&self, [x, weight]: [&[f32]; 2]) -> (Vec<f32>, Self::Saved) {
        norm::forward(x, weight, Centring::Mean, self.eps)
    }

    fn backward(
        &self,
        [x, weight]: [&[f32]; 2],
        saved: &Self::Saved,
        grad: &[f32],
        [dx, dw]: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let grads = norm::backward(x, weight, saved, grad, true, [dx, dw, false]);
        [grads.x, grads.weight]
    }
}

impl Kernel<3> for LayerNorm {
    type Saved = norm::RowStats;
    const CHEAP: bool = true;

    fn saves(&self, _: [bool; 3]) -> [Save; 3] {
        [Save::Exact, Save::Exact, Save::Exact]
    }

    fn forward(&self, [x, weight, bias]: [&[f32]; 3]) -> (Vec<f32>, Self::Saved) {
        norm::forward(x, weight, Centring::MeanAndBias(bias), self.eps)
    }

    fn backward(
        &self,
        [x, weight, _]: [&[f32]; 3],
        saved: &Self::Saved,
        grad: &[f32],
        wanted: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let grads = norm::backward(x, weight, saved, grad, true, wanted);
        [grads.x, grads.weight, grads.bias]
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Activation {
    Gelu,
    GeluTanh,
}

impl Kernel<1> for Activation {
    type Saved = ();
    const CHEAP: bool = true;

    fn saves(&self, _: [bool; 1]) -> [Save; 1] {
        [Save::Activation]
    }

    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, ()) {
        let y = match self {
            Self::Gelu => activation::gelu(x),
            Self::GeluTanh => activation::gelu_tanh(x),
        };
        (y, ())
    }

    fn backward(
        &self,
        [x]: [&[f32]; 1],
        (): &(),
        grad: &[f32],
        _: [bool; 1],
    ) -> [Option<Vec<f32>>; 1] {
        [Some(match self {
            Self::Gelu => activation::gelu_backward(x, grad),
            Self::GeluTanh => activation::gelu_tanh_backward(x, grad),
        })]
    }
}

/// Kernel of an activated gate multiplied by the other input.
#[derive(Debug, Clone)]
pub(crate) enum Gated {
    SwiGlu,
    GeGlu,
    GeGluTanh,
}

impl Kernel<2> for Gated {
    type Saved = ();
    const CHEAP: bool = true;

    fn saves(&self, _: [bool; 2]) -> [Save; 2] {
        [Save::Activation; 2]
    }

    fn forward(&self, [gate, up]: [&[f32]; 2]) -> (Vec<f32>, ()) {
        let y = match self {
            Self::SwiGlu => activation::swiglu(gate, up),
            Self::GeGlu => activation::geglu(gate, up),
            Self::GeGluTanh => activation::geglu_tanh(gate, up),
        };
        (y, ())
    }

    fn backward(
        &self,
        [gate, up]: [&[f32]; 2],
        (): &(),
        grad: &[f32],
        wanted: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let [d_gate, d_up] = match self {
            Self::SwiGlu => activation::swiglu_backward(gate, up, grad),
            Self::GeGlu => activation::geglu_backward(gate, up, grad),
            Self::GeGluTanh => activation::geglu_tanh_backward(gate, up, grad),
        };
        [wanted[0].then_some(d_gate), wanted[1].then_some(d_up)]
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Rope {
    pub(crate) table: Arc<Vec<f32>>,
    pub(crate) sizes: rows::RopeSizes,
}

impl Kernel<1> for Rope {
    type Saved = ();

    fn saves(&self, _: [bool; 1]) -> [Save; 1] {
        [Save::Nothing]
    }

    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, ()) {
        (rows::rope(x, &self.table, self.sizes, false), ())
    }

    fn backward(
        &self,
        _: [&[f32]; 1],
        (): &(),
        grad: &[f32],
        _: [bool; 1],
    ) -> [Option<Vec<f32>>; 1] {
        [Some(rows::rope(grad, &self.table, self.sizes, true))]
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Attention {
    pub(crate) plan: AttentionPlan,
    pub(crate) heads: Heads,
}

impl Attention {
    fn layout(&self) -> attention::Layout<'_> {
        attention::Layout {
            plan: &self.plan,
            heads: self.heads,
        }
    }
}

impl Kernel<3> for Attention {
    type Saved = Vec<f32>;

    fn saves(&self, _: [bool; 3]) -> [Save; 3] {
        [Save::Exact, Save::Exact, Save::Activation]
    }

    fn forward(&self, [q, k, v]: [&[f32]; 3]) -> (Vec<f32>, Vec<f32>) {
        attention::forward(q, k, v, self.layout())
    }

    fn backward(
        &self,
        [q, k, v]: [&[f32]; 3],
        lse: &Vec<f32>,
        grad: &[f32],
        _: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let inputs = attention_backward::Inputs { q, k, v, lse, grad };
        attention_backward::backward(inputs, self.layout()).map(Some)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct SelectedLogp {
    pub(crate) targets: Arc<Vec<usize>>,
    pub(crate) sizes: logp::Sizes,
}

impl Kernel<2> for SelectedLogp {
    type Saved = logp::Saved;

    fn saves(&self, _: [bool; 2]) -> [Save; 2] {
        [Save::Exact; 2]
    }

    fn forward(&self, [hidden, weight]: [&[f32]; 2]) -> (Vec<f32>, Self::Saved) {
        let weight = Weight::F32(weight);
        logp::forward(hidden, weight, &self.targets, self.sizes, true)
    }

    fn infer(&self, [hidden, weight]: [&[f32]; 2]) -> Vec<f32> {
        let weight = Weight::F32(weight);
        logp::forward(hidden, weight, &self.targets, self.sizes, false).0
    }

    fn backward(
        &self,
        [hidden, weight]: [&[f32]; 2],
        saved: &Self::Saved,
        grad: &[f32],
        wanted: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        logp::backward(
            hidden,
            Weight::F32(weight),
            &self.targets,
            saved,
            grad,
            self.sizes,
            wanted,
        )
    }
}

/// Kernel of log-probabilities with a frozen output matrix of 16-bit floats.
#[derive(Debug, Clone)]
pub(crate) struct HalfLogp {
    pub(crate) weight: HalfMatrix,
    pub(crate) targets: Arc<Vec<usize>>,
    pub(crate) sizes: logp::Sizes,
}

impl HalfLogp {
    fn run(&self, hidden: &[f32], keep: bool) -> (Vec<f32>, logp::Saved) {
        let weight = Weight::Half(&self.weight);
        logp::forward(hidden, weight, &self.targets, self.sizes, keep)
    }
}

impl Kernel<1> for HalfLogp {
    type Saved = logp::Saved;

    fn saves(&self, _: [bool; 1]) -> [Save; 1] {
        [Save::Exact]
    }

    fn forward(&self, [hidden]: [&[f32]; 1]) -> (Vec<f32>, Self::Saved) {
        self.run(hidden, true)
    }

    fn infer(&self, [hidden]: [&[f32]; 1]) -> Vec<f32> {
        self.run(hidden, false).0
    }

    fn backward(
        &self,
        [hidden]: [&[f32]; 1],
        saved: &Self::Saved,
        grad: &[f32],
        [wanted]: [bool; 1],
    ) -> [Option<Vec<f32>>; 1] {
        let weight = Weight::Half(&self.weight);
        let (targets, wanted) = (&self.targets, [wanted, false]);
        let [hidden, _] = logp::backward(hidden, weight, targets, saved, grad, self.sizes, wanted);
        [hidden]
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Embedding {
    pub(crate) ids: Arc<Vec<usize>>,
    pub(crate) width: usize,
}

impl Kernel<1> for Embedding {
    type Saved = ();

    fn saves(&self, _: [bool; 1]) -> [Save; 1] {
        [Save::Exact]
    }

    fn forward(&self, [weight]: [&[f32]; 1]) -> (Vec<f32>, ()) {
        (rows::gather(weight, &self.ids, self.width), ())
    }

    fn backward(
        &self,
        [weight]: [&[f32]; 1],
        (): &(),
        grad: &[f32],
        _: [bool; 1],
    ) -> [Option<Vec<f32>>; 1] {
        let mut table = zeros(weight.len());
        rows::scatter(grad, &self.ids, &mut table, self.width);
        [Some(table)]
    }

    // The output matrix of a tied model already has its gradient when this one is added.
    const ADDS: bool = true;

    fn add_gradient(&self, grad: &[f32], sum: &mut [f32]) {
        rows::scatter(grad, &self.ids, sum, self.width);
    }
}
