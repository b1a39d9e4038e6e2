//! Elementwise activations.

use rayon::prelude::*;

use super::{math, unwritten, written};

/// Number of elements in one task.
const CHUNK: usize = 1 << 13;

/// Computes `y = f(a)` per element.
fn map(a: &[f32], f: impl Fn(f32) -> f32 + Copy + Sync) -> Vec<f32> {
    let mut y = unwritten(a.len());
    y.par_chunks_mut(CHUNK)
        .zip(a.par_chunks(CHUNK))
        .for_each(|(y, a)| {
            math::vectorised(
                #[inline(always)]
                || {
                    for (y, a) in y.iter_mut().zip(a) {
                        y.write(f(*a));
                    }
                },
            );
        });
    // SAFETY: `y` and `a` have the same length, and the loops above write every element of each
    // chunk.
    #[allow(unsafe_code)]
    unsafe {
        written(y)
    }
}

/// Computes `y = f(a, b)` per element.
fn map2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Copy + Sync) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "two sizes");
    let mut y = unwritten(a.len());
    let inputs = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    y.par_chunks_mut(CHUNK).zip(inputs).for_each(|(y, (a, b))| {
        math::vectorised(
            #[inline(always)]
            || {
                for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
                    y.write(f(*a, *b));
                }
            },
        );
    });
    // SAFETY: `y`, `a` and `b` have the same length, and the loops above write every element of
    // each chunk.
    #[allow(unsafe_code)]
    unsafe {
        written(y)
    }
}

pub(crate) fn gelu(x: &[f32]) -> Vec<f32> {
    map(
        x,
        #[inline(always)]
        |x| x * math::normal_cdf(x),
    )
}

pub(crate) fn gelu_backward(x: &[f32], grad: &[f32]) -> Vec<f32> {
    map2(
        x,
        grad,
        #[inline(always)]
        |x, g| g * x.mul_add(math::normal_density(x), math::normal_cdf(x)),
    )
}

pub(crate) fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    map2(
        gate,
        up,
        #[inline(always)]
        |gate, up| gate * math::sigmoid(gate) * up,
    )
}

pub(crate) fn gelu_tanh(x: &[f32]) -> Vec<f32> {
    map(
        x,
        #[inline(always)]
        |x| x * math::logistic_cdf(x),
    )
}

pub(crate) fn gelu_tanh_backward(x: &[f32], grad: &[f32]) -> Vec<f32> {
    map2(
        x,
        grad,
        #[inline(always)]
        |x, g| g * gelu_tanh_slope(x)[1],
    )
}

/// Returns the factor of `x` in [`gelu_tanh`], and the derivative.
#[inline(always)]
fn gelu_tanh_slope(x: f32) -> [f32; 2] {
    let cdf = math::logistic_cdf(x);
    [cdf, x.mul_add(math::logistic_density(x), cdf)]
}

pub(crate) fn geglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    map2(
        gate,
        up,
        #[inline(always)]
        |gate, up| gate * math::normal_cdf(gate) * up,
    )
}

pub(crate) fn geglu_tanh(gate: &[f32], up: &[f32]) -> Vec<f32> {
    map2(
        gate,
        up,
        #[inline(always)]
        |gate, up| gate * math::logistic_cdf(gate) * up,
    )
}

pub(crate) fn swiglu_backward(gate: &[f32], up: &[f32], grad: &[f32]) -> [Vec<f32>; 2] {
    gated_backward(
        [gate, up, grad],
        #[inline(always)]
        |gate, up, g| {
            let s = math::sigmoid(gate);
            let slope = g * s;
            [slope * up * gate.mul_add(1.0 - s, 1.0), slope * gate]
        },
    )
}

pub(crate) fn geglu_backward(gate: &[f32], up: &[f32], grad: &[f32]) -> [Vec<f32>; 2] {
    gated_backward(
        [gate, up, grad],
        #[inline(always)]
        |gate, up, g| {
            let cdf = math::normal_cdf(gate);
            let slope = gate.mul_add(math::normal_density(gate), cdf);
            [g * up * slope, g * gate * cdf]
        },
    )
}

pub(crate) fn geglu_tanh_backward(gate: &[f32], up: &[f32], grad: &[f32]) -> [Vec<f32>; 2] {
    gated_backward(
        [gate, up, grad],
        #[inline(always)]
        |gate, up, g| {
            let [cdf, slope] = gelu_tanh_slope(gate);
            [g * up * slope, g * gate * cdf]
        },
    )
}

/// Computes the gradients for gate and up in one pass over memory: `f(gate, up, grad)` per element.
fn gated_backward(
    [gate, up, grad]: [&[f32]; 3],
    f: impl Fn(f32, f32, f32) -> [f32; 2] + Copy + Sync,
) -> [Vec<f32>; 2] {
    let len = gate.len();
    assert!(len == up.len() && len == grad.len(), "three sizes");
    let (mut d_gate, mut d_up) = (unwritten(len), unwritten(len));
    let inputs = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK));
    d_gate
        .par_chunks_mut(CHUNK)
        .zip(d_up.par_chunks_mut(CHUNK))
        .zip(inputs.zip(grad.par_chunks(CHUNK)))
        .for_each(|((d_gate, d_up), ((gate, up), grad))| {
            math::vectorised(
                #[inline(always)]
                || {
                    let outputs = d_gate.iter_mut().zip(d_up);
                    let inputs = gate.iter().zip(up).zip(grad);
                    for ((d_gate, d_up), ((gate, up), g)) in outputs.zip(inputs) {
                        let [to_gate, to_up] = f(*gate, *up, *g);
                        d_gate.write(to_gate);
                        d_up.write(to_up);
                    }
                },
            );
        });
    // SAFETY: all slices have the same length, and the loop above writes every element of each
    // chunk.
    #[allow(unsafe_code)]
    unsafe {
        [written(d_gate), written(d_up)]
    }
}
