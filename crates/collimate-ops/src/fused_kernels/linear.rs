//! Linear layers as kernels.

use crate::fused::{Kernel, Save};
use crate::kernels::bf16::{self, Elements, Factor};
use crate::kernels::gemm::{Matrix, product, product_of};
use crate::kernels::half::HalfMatrix;
use crate::kernels::{repeated, rows, zeros};

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
    pub(super) fn forward(&self, [x, weight]: [&[f32]; 2], bias: Option<&[f32]>) -> Vec<f32> {
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

    pub(super) fn input_gradient(&self, weight: &[f32], grad: &[f32]) -> Vec<f32> {
        let Self {
            rows,
            input,
            output,
            bf16,
        } = *self;
        if bf16 {
            let grad = Factor::new(Elements::F32(grad), rows, output);
            let weight = Factor::new(Elements::F32(weight), output, input);
            return bf16::product_of(grad, weight);
        }
        let weight = Matrix::new(weight, output, input);
        product_of(Matrix::new(grad, rows, output), weight)
    }

    fn weight_gradient(&self, x: &[f32], grad: &[f32]) -> Vec<f32> {
        let Self {
            rows,
            input,
            output,
            bf16,
        } = *self;
        if bf16 {
            let grad = Factor::new(Elements::F32(grad), rows, output);
            let x = Factor::new(Elements::F32(x), rows, input);
            return bf16::product_of(grad.t(), x);
        }
        let x = Matrix::new(x, rows, input);
        product_of(Matrix::new(grad, rows, output).t(), x)
    }

    fn gradients(
        &self,
        [x, weight]: [&[f32]; 2],
        grad: &[f32],
        wanted: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        [
            wanted[0].then(|| self.input_gradient(weight, grad)),
            wanted[1].then(|| self.weight_gradient(x, grad)),
        ]
    }
}

/// Returns what the backward pass of `x·Wᵀ` reads of x and W: each factor's gradient needs the other
/// factor.
fn factors([x, weight]: [bool; 2]) -> [Save; 2] {
    [
        if weight {
            Save::Activation
        } else {
            Save::Nothing
        },
        if x { Save::Exact } else { Save::Nothing },
    ]
}

impl Kernel<2> for Linear {
    type Saved = ();

    fn saves(&self, tracked: [bool; 2]) -> [Save; 2] {
        factors(tracked)
    }

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

    fn saves(&self, [x, weight, _]: [bool; 3]) -> [Save; 3] {
        let [x, weight] = factors([x, weight]);
        [x, weight, Save::Nothing]
    }

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
    pub(super) fn forward(&self, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
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

    pub(super) fn input_gradient(&self, grad: &[f32]) -> Vec<f32> {
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

    fn saves(&self, _: [bool; 1]) -> [Save; 1] {
        [Save::Nothing]
    }

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

    fn saves(&self, _: [bool; 2]) -> [Save; 2] {
        [Save::Nothing; 2]
    }

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
