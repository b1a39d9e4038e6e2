//! Passes of the optimiser over memory.

use rayon::prelude::*;

use super::math;

/// Number of elements in one task and in one partial sum.
const CHUNK: usize = 1 << 14;
/// Number of elements in a block. A block that no gradient has reached yet only decays.
const BLOCK: usize = 1 << 10;

/// Numbers of one AdamW step, including the bias corrections.
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
///
/// Parameters that no gradient has reached yet only decay, such as table rows of tokens that have
/// not occurred. The moments of such parameters would stay zero, so nothing is written to them.
pub(crate) fn adamw(param: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32], s: Step) {
    let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
    let values = param.par_chunks_mut(CHUNK).zip(grad.par_chunks(CHUNK));
    values.zip(moments).for_each(|((param, grad), (m, v))| {
        math::vectorised(
            #[inline(always)]
            || {
                let moments = m.chunks_mut(BLOCK).zip(v.chunks_mut(BLOCK));
                let values = param.chunks_mut(BLOCK).zip(grad.chunks(BLOCK));
                for ((param, grad), (m, v)) in values.zip(moments) {
                    if s.eps > 0.0 && is_zero(grad) && is_zero(m) && is_zero(v) {
                        decay(param, s.keep);
                    } else {
                        update(param, grad, m, v, s);
                    }
                }
            },
        );
    });
}

/// Returns true if all bits are zero.
#[inline(always)]
fn is_zero(x: &[f32]) -> bool {
    x.iter().fold(0, |bits, x| bits | x.to_bits()) == 0
}

#[inline(always)]
fn decay(param: &mut [f32], keep: f32) {
    if keep != 1.0 {
        for p in param {
            *p *= keep;
        }
    }
}

#[inline(always)]
fn update(param: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32], s: Step) {
    let moments = m.iter_mut().zip(v.iter_mut());
    for ((p, g), (m, v)) in param.iter_mut().zip(grad).zip(moments) {
        let g = g * s.scale;
        *m = s.beta1.mul_add(*m, s.rest1 * g);
        *v = s.beta2.mul_add(*v, s.rest2 * g * g);
        let step = s.rate * *m / v.sqrt().mul_add(s.root, s.eps);
        *p = p.mul_add(s.keep, -step);
    }
}

/// Computes `Σ x²` in f64. Partial sums of fixed chunks are added in order.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks cover: no gradient; a single gradient element; a gradient that has ended while
    /// its moments remain; and a short last block.
    #[test]
    fn blocks_that_never_moved_are_updated_like_others() {
        let len = 5 * BLOCK + 7;
        let mut grad = vec![0.0; len];
        grad[BLOCK + 3] = 0.5;
        grad[2 * BLOCK..3 * BLOCK].fill(-0.25);
        grad[5 * BLOCK + 6] = 2.0;
        let start: Vec<f32> = (0..len).map(|i| (i % 17) as f32 - 8.0).collect();
        for keep in [1.0, 0.9] {
            for eps in [1e-8, 0.0] {
                let step = Step {
                    beta1: 0.9,
                    beta2: 0.99,
                    rest1: 0.1,
                    rest2: 0.01,
                    eps,
                    scale: 0.5,
                    keep,
                    rate: 0.1,
                    root: 1.5,
                };
                let new = || (start.clone(), vec![0.0; len], vec![0.0; len]);
                let [mut some, mut all] = [new(), new()];
                for gone in [false, true] {
                    let mut grad = grad.clone();
                    if gone {
                        grad[2 * BLOCK..3 * BLOCK].fill(0.0);
                    }
                    adamw(&mut some.0, &grad, &mut some.1, &mut some.2, step);
                    math::vectorised(|| update(&mut all.0, &grad, &mut all.1, &mut all.2, step));
                }
                // Without eps, an element that never moved is 0/0, and any NaN is accepted.
                let same =
                    |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                for (some, all) in [(&some.0, &all.0), (&some.1, &all.1), (&some.2, &all.2)] {
                    assert!(some.iter().zip(all).all(same), "keep {keep}, eps {eps}");
                }
                assert_eq!(some.0[0].is_nan(), eps == 0.0);
            }
        }
    }
}
