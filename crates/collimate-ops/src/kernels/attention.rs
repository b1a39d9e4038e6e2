//! Attention over segments. Each task is one segment and one key head; tiles of queries are
//! multiplied with all keys that the tile can see.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::tile::{Output, PAD, Rows, View, multiply, padded};
use super::{Shared, math, zeros};
use crate::plan::Block;
use crate::{AttentionPlan, Heads};

/// Number of queries in one tile, so small that the scores of a tile stay in the second-level
/// cache.
pub(crate) const QUERIES: usize = 32;

/// Layout of a call: the attention pattern and the widths of a token's rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    pub(crate) plan: &'a AttentionPlan,
    pub(crate) heads: Heads,
}

impl Layout<'_> {
    /// Returns the number of elements between two tokens' queries, and between two tokens' keys.
    pub(crate) fn strides(&self) -> (usize, usize) {
        let Heads {
            query,
            key_value,
            head_dim,
        } = self.heads;
        (query * head_dim, key_value * head_dim)
    }

    /// Returns the factor of the products of queries and keys.
    pub(crate) fn scale(&self) -> f32 {
        self.plan.scores().factor(self.heads.head_dim) as f32
    }

    /// Returns the bound of the scores.
    pub(crate) fn softcap(&self) -> Option<f32> {
        self.plan.scores().softcap.map(|cap| cap as f32)
    }

    /// Returns the rows of the keys that a block packs: those that any of its queries sees.
    pub(crate) fn key_rows<'b>(
        &self,
        block: &'b Block,
    ) -> impl Iterator<Item = Range<usize>> + Clone + 'b {
        block.key_rows(self.plan.seen(block, 0).start)
    }

    /// Returns the packed keys that query `i` of a block sees.
    #[inline(always)]
    pub(crate) fn seen(&self, block: &Block, i: usize) -> Range<usize> {
        let first = self.plan.seen(block, 0).start;
        let seen = self.plan.seen(block, i);
        seen.start - first..seen.end - first
    }

    /// Returns the packed keys that `rows` queries from `first` are multiplied with: all keys that
    /// any of these queries sees. The range starts at a multiple of [`PAD`].
    #[inline(always)]
    pub(crate) fn tile_keys(&self, block: &Block, first: usize, rows: usize) -> Range<usize> {
        let start = self.seen(block, first).start / PAD * PAD;
        start..self.seen(block, first + rows - 1).end
    }

    /// Returns the number of elements between two queries' scores in a tile. It leaves room for
    /// every tile of a block whose packed keys take `columns`.
    pub(crate) fn score_stride(&self, columns: usize) -> usize {
        match self.plan.span() {
            None => columns,
            Some(span) => columns.min(padded(span.min(columns) + QUERIES + PAD - 2)),
        }
    }
}

/// Copies one head of `rows` to `[padded(rows), padded(head_dim)]`, scaled; the padding is zero.
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
    // PAD rows are transposed together, so that whole vectors are written.
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

/// Computes the output `[tokens, query · head_dim]` and, per token and query head, the log of the
/// softmax denominator.
pub(crate) fn forward(q: &[f32], k: &[f32], v: &[f32], layout: Layout<'_>) -> (Vec<f32>, Vec<f32>) {
    let Heads {
        query,
        key_value,
        head_dim,
    } = layout.heads;
    let mut out = zeros(q.len());
    let mut lse = vec![0.0; q.len() / head_dim];
    assert_eq!(lse.len() % query, 0, "whole rows of heads");
    let (shared_out, shared_lse) = (Shared::new(&mut out), Shared::new(&mut lse));
    let blocks = layout.plan.blocks();
    (0..blocks.len() * key_value).into_par_iter().for_each_init(
        Scratch::default,
        |scratch, task| {
            pulp::Arch::new().dispatch(Task {
                layout,
                block: &blocks[task / key_value],
                key_head: task % key_value,
                q,
                k,
                v,
                out: shared_out,
                lse: shared_lse,
                scratch,
            });
        },
    );
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
        let key_rows = layout.key_rows(block);
        pack_rows(
            &mut scratch.keys,
            k,
            key_rows.clone(),
            place,
            layout.scale(),
        );
        pack_rows(&mut scratch.values, v, key_rows, place, 1.0);
        transpose(&mut scratch.keys_t, &scratch.keys, head_dim);
        let columns = scratch.keys_t.len() / head_dim;
        let stride = layout.score_stride(columns);
        scratch.scores.resize(QUERIES * stride, 0.0);
        scratch.out.resize(QUERIES * width, 0.0);
        let group = layout.heads.group();
        for head in key_head * group..(key_head + 1) * group {
            for first in (0..block.own.len()).step_by(QUERIES) {
                let rows = QUERIES.min(block.own.len() - first);
                let keys = layout.tile_keys(block, first, rows);
                let row0 = block.own.start + first;
                let queries = View {
                    data: &q[row0 * q_stride + head * head_dim..],
                    row: q_stride,
                    column: 1,
                };
                let shape = [rows, padded(keys.len()), head_dim];
                let scores = &mut scratch.scores;
                multiply(
                    simd,
                    shape,
                    queries,
                    Rows {
                        data: &scratch.keys_t[keys.start..],
                        stride: columns,
                    },
                    Output {
                        data: scores,
                        stride,
                        accumulate: false,
                    },
                );
                let mut inverse = [0.0; QUERIES];
                for (i, inverse) in inverse.iter_mut().enumerate().take(rows) {
                    let seen = layout.seen(block, first + i);
                    let row = &mut scores[i * stride..i * stride + padded(keys.len())];
                    let (row, after) = row.split_at_mut(seen.end - keys.start);
                    let (before, row) = row.split_at_mut(seen.start - keys.start);
                    if let Some(cap) = layout.softcap() {
                        math::soft_capped(row, cap);
                    }
                    let max = math::max(row);
                    math::exp_shifted(row, max);
                    before.fill(0.0);
                    after.fill(0.0);
                    let sum = math::sum(row);
                    *inverse = 1.0 / sum;
                    // SAFETY: a task writes only its own segment's rows of its own query heads.
                    #[allow(unsafe_code)]
                    let lse = unsafe { lse.part((row0 + i) * query + head, 1) };
                    lse[0] = max + sum.ln();
                }
                let shape = [rows, width, keys.len()];
                let probabilities = View {
                    data: scores,
                    row: stride,
                    column: 1,
                };
                let tile = &mut scratch.out;
                multiply(
                    simd,
                    shape,
                    probabilities,
                    Rows {
                        data: &scratch.values[keys.start * width..],
                        stride: width,
                    },
                    Output {
                        data: tile,
                        stride: width,
                        accumulate: false,
                    },
                );
                for (i, tile) in tile.chunks_exact(width).enumerate().take(rows) {
                    // SAFETY: a task writes only its own segment's rows of its own query heads.
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use collimate_core::Segment;

    use super::*;
    use crate::Visibility;

    /// Packing and tiles must cost work in proportion to the window, not to the length.
    #[test]
    fn tiles_reach_no_further_than_the_window() {
        let segment = |start, len, parent| Segment { start, len, parent };
        let segments = [segment(0, 1000, None), segment(1000, 777, Some(0))];
        let heads = Heads::new(1, 1, 1).unwrap();
        let windows = [1, 7, 16, 33, 100, 900, 5000, usize::MAX];
        let kinds = [Visibility::Causal, Visibility::Bidirectional];
        for (window, kind) in windows
            .into_iter()
            .flat_map(|w| kinds.map(|kind| (w, kind)))
        {
            let plan = AttentionPlan::new(&segments, kind).unwrap();
            let plan = plan.with_window(NonZeroUsize::new(window));
            let span = plan.span().unwrap();
            let layout = Layout { plan: &plan, heads };
            for block in plan.blocks() {
                let packed: usize = layout.key_rows(block).map(|range| range.len()).sum();
                let context = block.context_len.min(window - 1);
                assert_eq!(packed, block.own.len() + context);
                let columns = padded(packed);
                let stride = layout.score_stride(columns);
                assert!(stride <= columns && stride < span.saturating_add(QUERIES + 2 * PAD));
                for first in (0..block.own.len()).step_by(QUERIES) {
                    let rows = QUERIES.min(block.own.len() - first);
                    let keys = layout.tile_keys(block, first, rows);
                    assert!(keys.start.is_multiple_of(PAD));
                    assert!(keys.start + padded(keys.len()) <= columns);
                    assert!(padded(keys.len()) <= stride);
                    assert!(keys.len() < span.saturating_add(QUERIES + PAD));
                }
            }
        }
    }
}
