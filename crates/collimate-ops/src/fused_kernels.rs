//! Operations as kernels: the slices that each one uses, and the gradients that are worth
//! computing.

use std::sync::Arc;

use crate::fused::Kernel;
use crate::kernels::bf16::{self, Elements, Factor};
use crate::kernels::gemm::{Matrix, product, product_of};
use crate::kernels::half::{HalfMatrix, Weight};
use crate::kernels::norm::Centring;
use crate::kernels::{
    activation, attention, attention_backward, logp, norm, repeated, rows, zeros,
};
use crate::{AttentionPlan, Heads};

/// Kernel of `x·Wᵀ`, with or without bias.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) rows: usize,
    pub(crate) input: usize,
    pub(crate) output: usize,
    /// If true, factors are rounded to bf16 before they are multiplied.
    pub(crate) bf16: bool,
}

impl Linear {
    fn forward(&self, [x, weight]: [&[f32]; 2], bias: Option<&[f32]>) -> Vec<f32> {
        let Self {
            rows,
            input,
            output,
            bf16,
        } = *self;
        let mut y = match bias {
            Some(bias) => repeated(bias, rows),
            None if bf16 => zeros(rows * output),
            None => {
                let weight = Matrix::new(weight, output, input);
                return product_of(Matrix::new(x, rows, input), weight.t());
            }
        };
        let add = bias.is_some();
        if bf16 {
            let weight = Factor::new(Elements::F32(weight), output, input);
            let x = Factor::new(Elements::F32(x), rows, input);
            bf16::product(x, weight.t(), &mut y, add);
        } else {
            let weight = Matrix::new(weight, output, input);
            product(Matrix::new(x, rows, input), weight.t(), &mut y, add);
        }
        y
    }

    fn gradients(
        &self,
        [x, weight]: [&[f32]; 2],
        grad: &[f32],
        wanted: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let Self {
            rows,
            input,
            output,
            bf16,
        } = *self;
        if bf16 {
            let factor = |values, [rows, columns]: [usize; 2]| {
                Factor::new(Elements::F32(values), rows, columns)
            };
            let grad = factor(grad, [rows, output]);
            let [weight, x] = [factor(weight, [output, input]), factor(x, [rows, input])];
            return [
                wanted[0].then(|| bf16::product_of(grad, weight)),
                wanted[1].then(|| bf16::product_of(grad.t(), x)),
            ];
        }
        let grad = Matrix::new(grad, rows, output);
        [
            wanted[0].then(|| product_of(grad, Matrix::new(weight, output, input))),
            wanted[1].then(|| product_of(grad.t(), Matrix::new(x, rows, input))),
        ]
    }
}

impl Kernel<2> for Linear {
    type Saved = ();

    fn forward(&self, inputs: [&[f32]; 2]) -> (Vec<f32>, ()) {
        (Linear::forward(self, inputs, None), ())
    }

    fn backward(
        &self,
        inputs: [&[f32]; 2],
        (): &(),
        grad: &[f32],
        wanted: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        self.gradients(inputs, grad, wanted)
    }
}

impl Kernel<3> for Linear {
    type Saved = ();

    fn forward(&self, [x, weight, bias]: [&[f32]; 3]) -> (Vec<f32>, ()) {
        (Linear::forward(self, [x, weight], Some(bias)), ())
    }

    fn backward(
        &self,
        [x, weight, _]: [&[f32]; 3],
        (): &(),
        grad: &[f32],
        wanted: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let [dx, dw] = self.gradients([x, weight], grad, [wanted[0], wanted[1]]);
        [
            dx,
            dw,
            wanted[2].then(|| rows::column_sums(grad, self.output)),
        ]
    }
}

/// Kernel of `x·Wᵀ` with a frozen weight of 16-bit floats, with or without bias.
#[derive(Debug, Clone)]
pub(crate) struct HalfLinear {
    pub(crate) weight: HalfMatrix,
    pub(crate) rows: usize,
    /// If true, factors are rounded to bf16 before they are multiplied.
    pub(crate) bf16: bool,
}

impl HalfLinear {
    fn forward(&self, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        if !self.bf16 {
            return self.weight.times_transposed(x, self.rows, bias);
        }
        let [output, input] = self.weight.dims();
        let mut y = match bias {
            Some(bias) => repeated(bias, self.rows),
            None => zeros(self.rows * output),
        };
        let x = Factor::new(Elements::F32(x), self.rows, input);
        self.with_factor(|weight| bf16::product(x, weight.t(), &mut y, bias.is_some()));
        y
    }

    fn input_gradient(&self, grad: &[f32]) -> Vec<f32> {
        if !self.bf16 {
            return self.weight.times(grad, self.rows);
        }
        let [output, _] = self.weight.dims();
        let grad = Factor::new(Elements::F32(grad), self.rows, output);
        self.with_factor(|weight| bf16::product_of(grad, weight))
    }

    /// Passes the weight as a factor of bf16.
    fn with_factor<R>(&self, work: impl FnOnce(Factor<'_>) -> R) -> R {
        let [output, input] = self.weight.dims();
        match self.weight.bits() {
            Some(bits) => work(Factor::new(Elements::Bf16(bits), output, input)),
            None => {
                let values = self.weight.widened(&(0..output));
                work(Factor::new(Elements::F32(&values), output, input))
            }
        }
    }
}

impl Kernel<1> for HalfLinear {
    type Saved = ();

    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, ()) {
        (HalfLinear::forward(self, x, None), ())
    }

    fn backward(
        &self,
        _: [&[f32]; 1],
        (): &(),
        grad: &[f32],
        [wanted]: [bool; 1],
    ) -> [Option<Vec<f32>>; 1] {
        [wanted.then(|| self.input_gradient(grad))]
    }
}

impl Kernel<2> for HalfLinear {
    type Saved = ();

    fn forward(&self, [x, bias]: [&[f32]; 2]) -> (Vec<f32>, ()) {
        (HalfLinear::forward(self, x, Some(bias)), ())
    }

    fn backward(
        &self,
        _: [&[f32]; 2],
        (): &(),
        grad: &[f32],
        [x, bias]: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        [
            x.then(|| self.input_gradient(grad)),
            bias.then(|| rows::column_sums(grad, self.weight.dims()[0])),
        ]
    }
}

#[derive(Debug, Clone)]
pub(crate) struct RmsNorm {
    pub(crate) eps: f64,
}

impl Kernel<2> for RmsNorm {
    type Saved = norm::RowStats;

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
