//! Values rounded to bf16 and back, in parallel.

use rayon::prelude::*;

use super::{bf16, math, unwritten, written};

/// Number of elements of one task.
const TASK: usize = 1 << 15;

/// Returns the bits of the nearest bf16 of each value.
pub(crate) fn narrowed(values: &[f32]) -> Vec<u16> {
    let mut bits = vec![0; values.len()];
    let tasks = bits.par_chunks_mut(TASK).zip(values.par_chunks(TASK));
    tasks.for_each(|(bits, values)| bf16::round(values, bits));
    bits
}

/// Returns the values of these bf16.
pub(crate) fn widened(bits: &[u16]) -> Vec<f32> {
    let mut values = unwritten(bits.len());
    let tasks = values.par_chunks_mut(TASK).zip(bits.par_chunks(TASK));
    tasks.for_each(|(values, bits)| {
        math::vectorised(
            #[inline(always)]
            || {
                for (value, bits) in values.iter_mut().zip(bits) {
                    value.write(f32::from_bits(u32::from(*bits) << 16));
                }
            },
        );
    });
    // SAFETY: both slices have the same length and are cut alike, so every element is written.
    #[allow(unsafe_code)]
    unsafe {
        written(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_with_eight_bits() {
        for len in [0, 1, TASK, 2 * TASK + 3] {
            let values: Vec<f32> = (0..len).map(|i| (i as f32 - 7.5) * 0.37).collect();
            let back = widened(&narrowed(&values));
            assert_eq!(back.len(), len);
            for (value, back) in values.iter().zip(&back) {
                assert!(
                    (value - back).abs() <= value.abs() / 256.0,
                    "{value} {back}"
                );
            }
        }
        assert_eq!(widened(&narrowed(&[1.0, -2.5, 0.0])), [1.0, -2.5, 0.0]);
    }
}
