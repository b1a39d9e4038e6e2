//! Attention over segments: each task is one segment and one key head, in tiles of queries
//! against all the keys that the tile can see.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::tile::{PAD, View, multiply, padded};
use super::{Shared, math};
use crate::Heads;
use crate::plan::Block;

/// Queries of one tile: the scores of a tile stay in the second-level cache.
pub(crate) const QUERIES: usize = 32;

/// What a call computes on: the pattern and the widths of a token's rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    pub(crate) blocks: &'a [Block],
    pub(crate) causal: bool,
    pub(crate) heads: Heads,
}

impl Layout<'_> {
    /// Elements between two tokens' queries, and between two tokens' keys.
    pub(crate) fn strides(&self) -> (usize, usize) {
        let Heads {
            query,
            key_value,
            head_dim,
        } = self.heads;
        (query * head_dim, key_value * head_dim)
    }

    /// `1 / √head_dim`.
    pub(crate) fn scale(&self) -> f32 {
        (1.0 / (self.heads.head_dim as f64).sqrt()) as f32
    }

    /// Keys that query `i` of a block sees: a prefix of the block's keys.
    #[inline(always)]
    pub(crate) fn seen(&self, block: &Block, i: usize) -> usize {
        block.context_len + if self.causal { i + 1 } else { block.own.len() }
    }
}

/// Rows of a block's keys in order: ancestors, then its own.
pub(crate) fn key_rows(block: &Block) -> impl Iterator<Item = Range<usize>> + Clone + '_ {
    block.context.iter().cloned().chain([block.own.clone()])
}

/// Copies one head of `rows` to `[padded(rows), padded(head_dim)]`, scaled; pad is zero.
#[inline(always)]
pub(crate) fn pack_rows(
    out: &mut Vec<f32>,
    source: &[f32],
    rows: impl Iterator<Item = Range<usize>> + Clone,
    [stride, offset, head_dim]: [usize; 3],
    scale: f32,
) {
    let width = padded(head_dim);
    let count: usize = rows.clone().map(|range| range.len()).sum();
    out.clear();
    out.resize(padded(count) * width, 0.0);
    let mut packed = out.chunks_exact_mut(width);
    for range in rows {
        let source = source[range.start * stride..range.end * stride].chunks_exact(stride);
        for (source, packed) in source.zip(&mut packed) {
            let source = &source[offset..offset + head_dim];
            for (packed, value) in packed.iter_mut().zip(source) {
                *packed = value * scale;
            }
        }
    }
}

/// Transposes packed rows to `[head_dim, padded(rows)]`.
#[inline(always)]
pub(crate) fn transpose(out: &mut Vec<f32>, packed: &[f32], head_dim: usize) {
    let width = padded(head_dim);
    let columns = packed.len() / width;
    out.resize(head_dim * columns, 0.0);
    // PAD rows at a time, so that whole vectors are written.
    for (index, rows) in packed.chunks_exact(PAD * width).enumerate() {
        for d in 0..head_dim {
            let place = d * columns + index * PAD;
            let out: &mut [f32] = &mut out[place..place + PAD];
            for (l, out) in out.iter_mut().enumerate() {
                // SAFETY: `l < PAD` and `d < head_dim <= width`, so the index lies in `rows`.
                #[allow(unsafe_code)]
                let value = unsafe { *rows.get_unchecked(l * width + d) };
                *out = value;
            }
        }
    }
}

#[derive(Debug, Default)]
struct Scratch {
    keys: Vec<f32>,
    keys_t: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
    out: Vec<f32>,
}

struct Task<'a> {
    layout: Layout<'a>,
    block: &'a Block,
    key_head: usize,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    out: Shared,
    lse: Shared,
    scratch: &'a mut Scratch,
}

/// The output `[tokens, query · head_dim]` and, per token and query head, the log of the
/// softmax denominator.
pub(crate) fn forward(q: &[f32], k: &[f32], v: &[f32], layout: Layout<'_>) -> (Vec<f32>, Vec<f32>) {
    let Heads {
        query,
        key_value,
        head_dim,
    } = layout.heads;
    let mut out = vec![0.0; q.len()];
    let mut lse = vec![0.0; q.len() / head_dim];
    debug_assert_eq!(lse.len() % query, 0);
    let (shared_out, shared_lse) = (Shared::new(&mut out), Shared::new(&mut lse));
    (0..layout.blocks.len() * key_value)
        .into_par_iter()
        .for_each_init(Scratch::default, |scratch, task| {
            pulp::Arch::new().dispatch(Task {
                layout,
                block: &layout.blocks[task / key_value],
                key_head: task % key_value,
                q,
                k,
                v,
                out: shared_out,
                lse: shared_lse,
                scratch,
            });
        });
    (out, lse)
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            layout,
            block,
            key_head,
            q,
            k,
            v,
            out,
            lse,
            scratch,
        } = self;
        let Heads {
            query, head_dim, ..
        } = layout.heads;
        let (q_stride, k_stride) = layout.strides();
        let width = padded(head_dim);
        let place = [k_stride, key_head * head_dim, head_dim];
        pack_rows(&mut scratch.keys, k, key_rows(block), place, layout.scale());
        pack_rows(&mut scratch.values, v, key_rows(block), place, 1.0);
        transpose(&mut scratch.keys_t, &scratch.keys, head_dim);
        let columns = scratch.keys_t.len() / head_dim;
        scratch.scores.resize(QUERIES * columns, 0.0);
        scratch.out.resize(QUERIES * width, 0.0);
        let group = layout.heads.group();
        for head in key_head * group..(key_head + 1) * group {
            for first in (0..block.own.len()).step_by(QUERIES) {
                let rows = QUERIES.min(block.own.len() - first);
                let keys = layout.seen(block, first + rows - 1);
                let row0 = block.own.start + first;
                let queries = View {
                    data: &q[row0 * q_stride + head * head_dim..],
                    row: q_stride,
                    column: 1,
                };
                let shape = [rows, padded(keys), head_dim];
                let scores = &mut scratch.scores;
                multiply(
                    simd,
                    shape,
                    queries,
                    &scratch.keys_t,
                    columns,
                    scores,
                    columns,
                    false,
                );
                let mut inverse = [0.0; QUERIES];
                for (i, inverse) in inverse.iter_mut().enumerate().take(rows) {
                    let seen = layout.seen(block, first + i);
                    let (row, hidden) =
                        scores[i * columns..i * columns + padded(keys)].split_at_mut(seen);
                    let max = math::max(row);
                    math::exp_shifted(row, max);
                    hidden.fill(0.0);
                    let sum = math::sum(row);
                    *inverse = 1.0 / sum;
                    // SAFETY: a task writes its own segment's rows of its own query heads.
                    #[allow(unsafe_code)]
                    let lse = unsafe { lse.part((row0 + i) * query + head, 1) };
                    lse[0] = max + sum.ln();
                }
                let shape = [rows, width, keys];
                let probabilities = View {
                    data: scores,
                    row: columns,
                    column: 1,
                };
                let tile = &mut scratch.out;
                multiply(
                    simd,
                    shape,
                    probabilities,
                    &scratch.values,
                    width,
                    tile,
                    width,
                    false,
                );
                for (i, tile) in tile.chunks_exact(width).enumerate().take(rows) {
                    // SAFETY: a task writes its own segment's rows of its own query heads.
                    #[allow(unsafe_code)]
                    let out =
                        unsafe { out.part((row0 + i) * q_stride + head * head_dim, head_dim) };
                    for (out, value) in out.iter_mut().zip(tile) {
                        *out = value * inverse[i];
                    }
                }
            }
        }
    }
}
