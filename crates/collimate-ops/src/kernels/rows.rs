//! Kernels for rotary positions, table rows and column sums.

use rayon::prelude::*;

use super::{math, unwritten, written};

/// Number of rows in one task.
const ROWS: usize = 64;

/// Sizes of rows whose heads turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RopeSizes {
    pub(crate) width: usize,
    pub(crate) head_dim: usize,
    /// Number of elements of each head that turn, counted from the first.
    pub(crate) rotary: usize,
}

/// Rotates each head of each row; rotates backwards if `inverse`.
pub(crate) fn rope(x: &[f32], table: &[f32], sizes: RopeSizes, inverse: bool) -> Vec<f32> {
    let RopeSizes {
        width,
        head_dim,
        rotary,
    } = sizes;
    let half = rotary / 2;
    assert!(
        width.is_multiple_of(head_dim) && rotary == 2 * half && x.len().is_multiple_of(width),
        "rows of whole heads, with pairs that turn"
    );
    assert!(rotary <= head_dim, "more turns than there is");
    assert_eq!(table.len() * width, x.len() * rotary, "a table row per row");
    let sign = if inverse { -1.0f32 } else { 1.0 };
    let mut y = unwritten(x.len());
    let inputs = x
        .par_chunks(ROWS * width)
        .zip(table.par_chunks(ROWS * rotary));
    y.par_chunks_mut(ROWS * width)
        .zip(inputs)
        .for_each(|(y, (x, table))| {
            math::vectorised(
                #[inline(always)]
                || {
                    let rows = y.chunks_exact_mut(width).zip(x.chunks_exact(width));
                    for ((y, x), angles) in rows.zip(table.chunks_exact(rotary)) {
                        let (cos, sin) = angles.split_at(half);
                        let heads = y.chunks_exact_mut(head_dim).zip(x.chunks_exact(head_dim));
                        for (y, x) in heads {
                            let (x, still) = x.split_at(rotary);
                            let (y, out_still) = y.split_at_mut(rotary);
                            let (low, high) = x.split_at(half);
                            let (out_low, out_high) = y.split_at_mut(half);
                            for i in 0..half {
                                let s = sign * sin[i];
                                out_low[i].write(low[i] * cos[i] - high[i] * s);
                                out_high[i].write(high[i] * cos[i] + low[i] * s);
                            }
                            out_still.write_copy_of_slice(still);
                        }
                    }
                },
            );
        });
    // SAFETY: by the assertions above a row consists of whole heads, each of two halves and a rest,
    // and every part is written.
    #[allow(unsafe_code)]
    unsafe {
        written(y)
    }
}

/// Returns the rows of `table` chosen by `ids`.
pub(crate) fn gather(table: &[f32], ids: &[usize], width: usize) -> Vec<f32> {
    let mut y = Vec::with_capacity(ids.len() * width);
    for &id in ids {
        y.extend_from_slice(&table[id * width..(id + 1) * width]);
    }
    y
}

/// Adds row `i` of `grad` to row `ids[i]` of `table`, in order.
pub(crate) fn scatter(grad: &[f32], ids: &[usize], table: &mut [f32], width: usize) {
    for (&id, grad) in ids.iter().zip(grad.chunks_exact(width)) {
        for (sum, value) in table[id * width..(id + 1) * width].iter_mut().zip(grad) {
            *sum += value;
        }
    }
}

/// Sums the rows. Partial sums of fixed blocks are added in order.
pub(crate) fn column_sums(x: &[f32], width: usize) -> Vec<f32> {
    let partial: Vec<Vec<f32>> = x
        .par_chunks(ROWS * width)
        .map(|block| {
            let mut sums = vec![0.0; width];
            for row in block.chunks_exact(width) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            sums
        })
        .collect();
    let mut total = vec![0.0; width];
    for sums in partial {
        for (total, value) in total.iter_mut().zip(sums) {
            *total += value;
        }
    }
    total
}
