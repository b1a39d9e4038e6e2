//! A frozen linear layer with a low-rank update as one kernel.

use std::borrow::Cow;

use burn_flex::FlexTensor;

use super::linear::{HalfLinear, Linear};
use super::masked::masked;
use crate::DropMask;
use crate::fused::{Kernel, Save, slice};
use crate::kernels::bf16::{self, Elements, Factor};
use crate::kernels::gemm::{Matrix, product, product_of};

/// A weight `[out, in]` that no gradient reaches.
#[derive(Debug, Clone)]
pub(crate) enum Frozen {
    /// Weight of f32, contiguous.
    F32(FlexTensor, Linear),
    /// Weight of 16-bit floats.
    Half(HalfLinear),
}

impl Frozen {
    fn forward(&self, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        match self {
            Self::F32(weight, linear) => linear.forward([x, slice(weight)], bias),
            Self::Half(linear) => linear.forward(x, bias),
        }
    }

    fn input_gradient(&self, grad: &[f32]) -> Vec<f32> {
        match self {
            Self::F32(weight, linear) => linear.input_gradient(slice(weight), grad),
            Self::Half(linear) => linear.input_gradient(grad),
        }
    }
}

/// Kernel of `x·Wᵀ + b + scale · mask(x)·Aᵀ·Bᵀ` with inputs x, A and B.
#[derive(Debug, Clone)]
pub(crate) struct Adapted {
    pub(crate) weight: Frozen,
    /// Bias that no gradient reaches, contiguous.
    pub(crate) bias: Option<FlexTensor>,
    pub(crate) rows: usize,
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) rank: usize,
    pub(crate) scale: f32,
    pub(crate) mask: Option<DropMask>,
    /// If true, factors are rounded to bf16 before they are multiplied.
    pub(crate) bf16: bool,
}

/// A factor of a product: rows, columns, and if it is transposed.
type Sizes = ([usize; 2], bool);

impl Adapted {
    fn masked<'a>(&self, x: &'a [f32]) -> Cow<'a, [f32]> {
        match &self.mask {
            Some(mask) => Cow::Owned(masked(x.to_vec(), mask)),
            None => Cow::Borrowed(x),
        }
    }

    /// Returns the product of two factors.
    fn times(&self, a: &[f32], of_a: Sizes, b: &[f32], of_b: Sizes) -> Vec<f32> {
        if self.bf16 {
            return bf16::product_of(factor(a, of_a), factor(b, of_b));
        }
        product_of(matrix(a, of_a), matrix(b, of_b))
    }

    /// Adds the product of two factors to `sum`.
    fn add(&self, a: &[f32], of_a: Sizes, b: &[f32], of_b: Sizes, sum: &mut [f32]) {
        if self.bf16 {
            return bf16::product(factor(a, of_a), factor(b, of_b), sum, true);
        }
        product(matrix(a, of_a), matrix(b, of_b), sum, true);
    }

    fn scaled(&self, mut values: Vec<f32>) -> Vec<f32> {
        for value in &mut values {
            *value *= self.scale;
        }
        values
    }
}

fn matrix(values: &[f32], ([rows, columns], transposed): Sizes) -> Matrix<'_> {
    let matrix = Matrix::new(values, rows, columns);
    if transposed { matrix.t() } else { matrix }
}

fn factor(values: &[f32], ([rows, columns], transposed): Sizes) -> Factor<'_> {
    let factor = Factor::new(Elements::F32(values), rows, columns);
    if transposed { factor.t() } else { factor }
}

impl Kernel<3> for Adapted {
    /// Scaled result of the down projection, `[rows, rank]`.
    type Saved = Vec<f32>;

    fn saves(&self, [x, a, b]: [bool; 3]) -> [Save; 3] {
        let exact = |read| if read { Save::Exact } else { Save::Nothing };
        [
            if a { Save::Activation } else { Save::Nothing },
            exact(x),
            exact(x || a || b),
        ]
    }

    fn forward(&self, [x, a, b]: [&[f32]; 3]) -> (Vec<f32>, Vec<f32>) {
        let Self {
            rows,
            input,
            output,
            rank,
            ..
        } = *self;
        let mut y = self.weight.forward(x, self.bias.as_ref().map(slice));
        let of_x = ([rows, input], false);
        let low = self.times(&self.masked(x), of_x, a, ([rank, input], true));
        let low = self.scaled(low);
        let of_b = ([output, rank], true);
        self.add(&low, ([rows, rank], false), b, of_b, &mut y);
        (y, low)
    }

    fn backward(
        &self,
        [x, a, b]: [&[f32]; 3],
        low: &Vec<f32>,
        grad: &[f32],
        [of_x, of_a, of_b]: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let Self {
            rows,
            input,
            output,
            rank,
            ..
        } = *self;
        let grads = ([rows, output], false);
        let db = of_b.then(|| {
            let turned = ([rows, output], true);
            self.times(grad, turned, low, ([rows, rank], false))
        });
        if !(of_x || of_a) {
            return [None, None, db];
        }
        let low = self.times(grad, grads, b, ([output, rank], false));
        let low = self.scaled(low);
        let da = of_a.then(|| {
            let turned = ([rows, rank], true);
            self.times(&low, turned, &self.masked(x), ([rows, input], false))
        });
        let dx = of_x.then(|| {
            let mut dx = self.weight.input_gradient(grad);
            let (lows, of_a) = (([rows, rank], false), ([rank, input], false));
            match &self.mask {
                None => self.add(&low, lows, a, of_a, &mut dx),
                Some(mask) => {
                    let update = masked(self.times(&low, lows, a, of_a), mask);
                    for (dx, update) in dx.iter_mut().zip(update) {
                        *dx += update;
                    }
                }
            }
            dx
        });
        [dx, da, db]
    }
}
