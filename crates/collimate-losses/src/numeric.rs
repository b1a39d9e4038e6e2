//! Functions whose plain form loses digits.

use burn::tensor::Tensor;

/// Computes log σ(x). Burn's function takes its gradient from 1 − σ(x), which on ndarray loses the
/// digits of small values.
pub(crate) fn log_sigmoid(x: Tensor<1>) -> Tensor<1> {
    // |x| = x·side. The side is held fixed, so that the gradient at 0 is that of a smooth function.
    let negative = x.clone().detach().lower_elem(0.0);
    let side = x.ones_like().mask_fill(negative, -1.0);
    let smaller = (x.clone() - x.clone() * side.clone()).mul_scalar(0.5);
    smaller - (x * side).neg().exp().log1p()
}

/// Computes σ(x). Burn's function computes in f32 whatever the type of the tensor.
pub(crate) fn sigmoid(x: Tensor<1>) -> Tensor<1> {
    log_sigmoid(x).exp()
}

/// Computes e^x − 1. Near 0 the difference would cancel, so the series is used there.
pub(crate) fn expm1(x: Tensor<1>) -> Tensor<1> {
    let plain = x.clone().exp().sub_scalar(1.0);
    let near = x.clone().detach().abs().lower_elem(0.1);
    // x·(1 + x/2·(1 + x/3·(1 + x/4·(1 + x/5·(1 + x/6))))), clamped to the interval of its use.
    let small = x.clamp(-0.1, 0.1);
    let series = (2..=6).rev().fold(small.ones_like(), |sum, n| {
        (small.clone() * sum)
            .div_scalar(f64::from(n))
            .add_scalar(1.0)
    });
    plain.mask_where(near, small * series)
}
