//! Elementwise activations.

use rayon::prelude::*;

use super::{math, unwritten, written};

/// Elements of one task.
const CHUNK: usize = 1 << 13;

/// `y = f(a)` per element.
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
    // SAFETY: `y` and `a` have one length, and the loops above write each chunk whole.
    #[allow(unsafe_code)]
    unsafe {
        written(y)
    }
}

/// `y = f(a, b)` per element.
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
    // SAFETY: `y`, `a` and `b` have one length, and the loops above write each chunk whole.
    #[allow(unsafe_code)]
    unsafe {
        written(y)
    }
}

/// `y = f(a, b, c)` per element.
fn map3(
    a: &[f32],
    b: &[f32],
    c: &[f32],
    f: impl Fn(f32, f32, f32) -> f32 + Copy + Sync,
) -> Vec<f32> {
    assert!(a.len() == b.len() && a.len() == c.len(), "three sizes");
    let mut y = unwritten(a.len());
    let inputs = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    y.par_chunks_mut(CHUNK)
        .zip(inputs.zip(c.par_chunks(CHUNK)))
        .for_each(|(y, ((a, b), c))| {
            math::vectorised(
                #[inline(always)]
                || {
                    for (((y, a), b), c) in y.iter_mut().zip(a).zip(b).zip(c) {
                        y.write(f(*a, *b, *c));
                    }
                },
            );
        });
    // SAFETY: all have one length, and the loops above write each chunk whole.
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

/// Gradients for gate and up, those wanted.
pub(crate) fn swiglu_backward(
    gate: &[f32],
    up: &[f32],
    grad: &[f32],
    wanted: [bool; 2],
) -> [Option<Vec<f32>>; 2] {
    [
        wanted[0].then(|| {
            map3(
                gate,
                up,
                grad,
                #[inline(always)]
                |gate, up, g| {
                    let s = math::sigmoid(gate);
                    g * up * s * gate.mul_add(1.0 - s, 1.0)
                },
            )
        }),
        wanted[1].then(|| {
            map2(
                gate,
                grad,
                #[inline(always)]
                |gate, g| g * gate * math::sigmoid(gate),
            )
        }),
    ]
}
