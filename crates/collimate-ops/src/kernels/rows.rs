//! Rotary positions, table rows and column sums.

use rayon::prelude::*;

use super::{math, unwritten, written};

/// Rows of one task.
const ROWS: usize = 64;

/// Rotates each head of each row; backwards when `inverse`.
pub(crate) fn rope(
    x: &[f32],
    table: &[f32],
    width: usize,
    head_dim: usize,
    inverse: bool,
) -> Vec<f32> {
    let half = head_dim / 2;
    assert!(
        width.is_multiple_of(head_dim) && head_dim == 2 * half && x.len().is_multiple_of(width),
        "rows of whole heads of an even size"
    );
    assert_eq!(
        table.len() * width,
        x.len() * head_dim,
        "a table row per row"
    );
    let sign = if inverse { -1.0f32 } else { 1.0 };
    let mut y = unwritten(x.len());
    let inputs = x
        .par_chunks(ROWS * width)
        .zip(table.par_chunks(ROWS * head_dim));
    y.par_chunks_mut(ROWS * width)
        .zip(inputs)
        .for_each(|(y, (x, table))| {
            math::vectorised(
                #[inline(always)]
                || {
                    let rows = y.chunks_exact_mut(width).zip(x.chunks_exact(width));
                    for ((y, x), angles) in rows.zip(table.chunks_exact(head_dim)) {
                        let (cos, sin) = angles.split_at(half);
                        let heads = y.chunks_exact_mut(head_dim).zip(x.chunks_exact(head_dim));
                        for (y, x) in heads {
                            let (low, high) = x.split_at(half);
                            let (out_low, out_high) = y.split_at_mut(half);
                            for i in 0..half {
                                let s = sign * sin[i];
                                out_low[i].write(low[i] * cos[i] - high[i] * s);
                                out_high[i].write(high[i] * cos[i] + low[i] * s);
                            }
                        }
                    }
                },
            );
        });
    // SAFETY: a row is whole heads of two halves, by the assertion above, and each is written.
    #[allow(unsafe_code)]
    unsafe {
        written(y)
    }
}

/// Rows of `table` chosen by `ids`.
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

/// Sum of the rows: partial sums of fixed blocks, added in order.
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
