//! Elementwise activations.

use rayon::prelude::*;

use super::math;

/// Elements of one task.
const CHUNK: usize = 1 << 13;

/// `y = f(a)` per element.
fn map(a: &[f32], f: impl Fn(f32) -> f32 + Copy + Sync) -> Vec<f32> {
    let mut y = vec![0.0; a.len()];
    y.par_chunks_mut(CHUNK)
        .zip(a.par_chunks(CHUNK))
        .for_each(|(y, a)| {
            math::vectorised(
                #[inline(always)]
                || {
                    for (y, a) in y.iter_mut().zip(a) {
                        *y = f(*a);
                    }
                },
            );
        });
    y
}

/// `y = f(a, b)` per element.
fn map2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Copy + Sync) -> Vec<f32> {
    let mut y = vec![0.0; a.len()];
    let inputs = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    y.par_chunks_mut(CHUNK).zip(inputs).for_each(|(y, (a, b))| {
        math::vectorised(
            #[inline(always)]
            || {
                for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
                    *y = f(*a, *b);
                }
            },
        );
    });
    y
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
    let size = |wanted: bool| if wanted { gate.len() } else { 0 };
    let (mut d_gate, mut d_up) = (vec![0.0; size(wanted[0])], vec![0.0; size(wanted[1])]);
    let (shared_gate, shared_up) = (
        super::Shared::new(&mut d_gate),
        super::Shared::new(&mut d_up),
    );
    let inputs = gate
        .par_chunks(CHUNK)
        .zip(up.par_chunks(CHUNK))
        .zip(grad.par_chunks(CHUNK));
    inputs.enumerate().for_each(|(task, ((gate, up), grad))| {
        let part = |wanted: bool| {
            if wanted {
                (task * CHUNK, gate.len())
            } else {
                (0, 0)
            }
        };
        let ((gate_at, gate_len), (up_at, up_len)) = (part(wanted[0]), part(wanted[1]));
        // SAFETY: each task has its own chunk of each output.
        #[allow(unsafe_code)]
        let (d_gate, d_up) = unsafe {
            (
                shared_gate.part(gate_at, gate_len),
                shared_up.part(up_at, up_len),
            )
        };
        math::vectorised(
            #[inline(always)]
            || {
                for (((d, gate), up), g) in d_gate.iter_mut().zip(gate).zip(up).zip(grad) {
                    let s = math::sigmoid(*gate);
                    *d = g * up * s * gate.mul_add(1.0 - s, 1.0);
                }
                for ((d, gate), g) in d_up.iter_mut().zip(gate).zip(grad) {
                    *d = g * gate * math::sigmoid(*gate);
                }
            },
        );
    });
    [wanted[0].then_some(d_gate), wanted[1].then_some(d_up)]
}
