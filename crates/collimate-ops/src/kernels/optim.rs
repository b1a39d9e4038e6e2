//! The optimiser's passes over memory.

use rayon::prelude::*;

use super::math;

/// Elements of one task and of one partial sum.
const CHUNK: usize = 1 << 14;

/// The numbers of one AdamW step, bias corrections folded in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    /// `1 − β₁` and `1 − β₂`, rounded once from f64.
    pub(crate) rest1: f32,
    pub(crate) rest2: f32,
    pub(crate) eps: f32,
    /// Factor of the gradient.
    pub(crate) scale: f32,
    /// `1 − lr·λ`.
    pub(crate) keep: f32,
    /// `lr / (1 − β₁ᵗ)`.
    pub(crate) rate: f32,
    /// `1 / √(1 − β₂ᵗ)`.
    pub(crate) root: f32,
}

/// Updates parameter and moments in one pass.
pub(crate) fn adamw(param: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32], s: Step) {
    let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
    let values = param.par_chunks_mut(CHUNK).zip(grad.par_chunks(CHUNK));
    values.zip(moments).for_each(|((param, grad), (m, v))| {
        math::vectorised(
            #[inline(always)]
            || {
                let moments = m.iter_mut().zip(v.iter_mut());
                for ((p, g), (m, v)) in param.iter_mut().zip(grad).zip(moments) {
                    let g = g * s.scale;
                    *m = s.beta1.mul_add(*m, s.rest1 * g);
                    *v = s.beta2.mul_add(*v, s.rest2 * g * g);
                    let step = s.rate * *m / v.sqrt().mul_add(s.root, s.eps);
                    *p = p.mul_add(s.keep, -step);
                }
            },
        );
    });
}

/// `Σ x²` in f64: partial sums of fixed chunks, added in order.
pub(crate) fn sum_of_squares(x: &[f32]) -> f64 {
    let partial: Vec<f64> = x
        .par_chunks(CHUNK)
        .map(|chunk| {
            math::vectorised(
                #[inline(always)]
                || {
                    let mut lanes = [0.0f64; 8];
                    let mut groups = chunk.chunks_exact(8);
                    for group in &mut groups {
                        for (lane, &x) in lanes.iter_mut().zip(group) {
                            *lane = f64::from(x).mul_add(f64::from(x), *lane);
                        }
                    }
                    for (lane, &x) in lanes.iter_mut().zip(groups.remainder()) {
                        *lane = f64::from(x).mul_add(f64::from(x), *lane);
                    }
                    lanes.iter().sum::<f64>()
                },
            )
        })
        .collect();
    partial.iter().sum()
}
