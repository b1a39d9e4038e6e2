//! Gradients of attention over segments. Each task is one tree of segments and one key head, so
//! every gradient row has one writer and one order of summation.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::attention::{Layout, QUERIES, pack_rows, transpose};
use super::tile::{Output, Rows, View, multiply, padded};
use super::{Shared, math, zeros};
use crate::Heads;
use crate::plan::Block;

/// Inputs and results of forward, and the gradient of its output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) q: &'a [f32],
    pub(crate) k: &'a [f32],
    pub(crate) v: &'a [f32],
    pub(crate) lse: &'a [f32],
    pub(crate) grad: &'a [f32],
}

#[derive(Debug, Default)]
struct Scratch {
    keys: Vec<f32>,
    keys_t: Vec<f32>,
    values: Vec<f32>,
    values_t: Vec<f32>,
    scores: Vec<f32>,
    d_scores: Vec<f32>,
    /// Derivatives of a row's capped scores.
    slopes: Vec<f32>,
    queries: Vec<f32>,
    grads: Vec<f32>,
    d_queries: Vec<f32>,
    d_keys: Vec<f32>,
    d_values: Vec<f32>,
}

#[derive(Debug, Clone, Copy)]
struct Outputs {
    q: Shared,
    k: Shared,
    v: Shared,
}

struct Task<'a> {
    layout: Layout<'a>,
    tree: &'a [usize],
    key_head: usize,
    inputs: Inputs<'a>,
    outputs: Outputs,
    scratch: &'a mut Scratch,
}

/// Groups blocks that share ancestors, as lists of indices in order.
///
/// A block's first context row belongs to the root of its tree.
fn trees(blocks: &[Block]) -> Vec<Vec<usize>> {
    let mut trees: Vec<Vec<usize>> = Vec::new();
    let mut by_root = std::collections::HashMap::new();
    for (index, block) in blocks.iter().enumerate() {
        let root = block
            .context
            .first()
            .map_or(block.own.start, |range| range.start);
        let tree = *by_root.entry(root).or_insert_with(|| {
            trees.push(Vec::new());
            trees.len() - 1
        });
        trees[tree].push(index);
    }
    trees
}

/// Computes the gradients for q, k and v.
pub(crate) fn backward(inputs: Inputs<'_>, layout: Layout<'_>) -> [Vec<f32>; 3] {
    let mut grads = [
        zeros(inputs.q.len()),
        zeros(inputs.k.len()),
        zeros(inputs.v.len()),
    ];
    let [q, k, v] = &mut grads;
    let outputs = Outputs {
        q: Shared::new(q),
        k: Shared::new(k),
        v: Shared::new(v),
    };
    let trees = trees(layout.plan.blocks());
    let key_heads = layout.heads.key_value;
    (0..trees.len() * key_heads).into_par_iter().for_each_init(
        Scratch::default,
        |scratch, task| {
            pulp::Arch::new().dispatch(Task {
                layout,
                tree: &trees[task / key_heads],
                key_head: task % key_heads,
                inputs,
                outputs,
                scratch,
            });
        },
    );
    grads
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            layout,
            tree,
            key_head,
            inputs,
            outputs,
            scratch,
        } = self;
        let Heads { head_dim, .. } = layout.heads;
        let (_, stride) = layout.strides();
        let width = padded(head_dim);
        for &index in tree {
            let block = &layout.plan.blocks()[index];
            let key_rows = layout.key_rows(block);
            let place = [stride, key_head * head_dim, head_dim];
            pack_rows(
                &mut scratch.keys,
                inputs.k,
                key_rows.clone(),
                place,
                layout.scale(),
            );
            pack_rows(&mut scratch.values, inputs.v, key_rows.clone(), place, 1.0);
            transpose(&mut scratch.keys_t, &scratch.keys, head_dim);
            transpose(&mut scratch.values_t, &scratch.values, head_dim);
            let columns = scratch.keys_t.len() / head_dim;
            for buffer in [&mut scratch.scores, &mut scratch.d_scores] {
                buffer.resize(QUERIES * layout.score_stride(columns), 0.0);
            }
            scratch.d_queries.resize(QUERIES * width, 0.0);
            for buffer in [&mut scratch.d_keys, &mut scratch.d_values] {
                buffer.clear();
                buffer.resize(scratch.keys.len(), 0.0);
            }
            let group = layout.heads.group();
            for head in key_head * group..(key_head + 1) * group {
                for first in (0..block.own.len()).step_by(QUERIES) {
                    let place = Place {
                        block,
                        head,
                        first,
                        columns,
                    };
                    tile(simd, layout, place, inputs, outputs, scratch);
                }
            }
            for (i, row) in key_rows.flatten().enumerate() {
                let at = row * stride + key_head * head_dim;
                // SAFETY: one task alone writes the keys and values of a tree's rows and a key
                // head.
                #[allow(unsafe_code)]
                let (dk, dv) =
                    unsafe { (outputs.k.part(at, head_dim), outputs.v.part(at, head_dim)) };
                for (sum, value) in dk.iter_mut().zip(&scratch.d_keys[i * width..]) {
                    *sum = value.mul_add(layout.scale(), *sum);
                }
                for (sum, value) in dv.iter_mut().zip(&scratch.d_values[i * width..]) {
                    *sum += value;
                }
            }
        }
    }
}

/// One tile: its queries and the packed keys that they see.
#[derive(Clone, Copy)]
struct Place<'a> {
    block: &'a Block,
    head: usize,
    /// First query of the tile, counted from the start of the block.
    first: usize,
    /// Columns of the packed keys.
    columns: usize,
}

/// Processes one tile of queries. Writes the query gradients of the tile, and adds its part of the
/// key and value gradients to the scratch sums.
#[inline(always)]
fn tile<S: Simd>(
    simd: S,
    layout: Layout<'_>,
    place: Place<'_>,
    inputs: Inputs<'_>,
    outputs: Outputs,
    scratch: &mut Scratch,
) {
    let Place {
        block,
        head,
        first,
        columns,
    } = place;
    let Heads {
        query, head_dim, ..
    } = layout.heads;
    let (q_stride, _) = layout.strides();
    let stride = layout.score_stride(columns);
    let width = padded(head_dim);
    let rows = QUERIES.min(block.own.len() - first);
    let keys = layout.tile_keys(block, first, rows);
    let row0 = block.own.start + first;
    let place = [q_stride, head * head_dim, head_dim];
    pack_rows(
        &mut scratch.queries,
        inputs.q,
        std::iter::once(row0..row0 + rows),
        place,
        1.0,
    );
    pack_rows(
        &mut scratch.grads,
        inputs.grad,
        std::iter::once(row0..row0 + rows),
        place,
        1.0,
    );
    let by_rows = |data| View {
        data,
        row: width,
        column: 1,
    };
    let shape = [rows, padded(keys.len()), head_dim];
    let (p, ds) = (&mut scratch.scores, &mut scratch.d_scores);
    multiply(
        simd,
        shape,
        by_rows(&scratch.queries),
        Rows {
            data: &scratch.keys_t[keys.start..],
            stride: columns,
        },
        Output {
            data: p,
            stride,
            accumulate: false,
        },
    );
    multiply(
        simd,
        shape,
        by_rows(&scratch.grads),
        Rows {
            data: &scratch.values_t[keys.start..],
            stride: columns,
        },
        Output {
            data: ds,
            stride,
            accumulate: false,
        },
    );
    for i in 0..rows {
        let seen = layout.seen(block, first + i);
        let at = i * stride..i * stride + padded(keys.len());
        let [p, ds] = [&mut *p, &mut *ds].map(|scores| {
            let (row, after) = scores[at.clone()].split_at_mut(seen.end - keys.start);
            let (before, row) = row.split_at_mut(seen.start - keys.start);
            before.fill(0.0);
            after.fill(0.0);
            row
        });
        if let Some(cap) = layout.softcap() {
            scratch.slopes.resize(p.len(), 0.0);
            math::soft_capped_with_slopes(p, &mut scratch.slopes, cap);
        }
        math::exp_shifted(p, inputs.lse[(row0 + i) * query + head]);
        let mean = math::dot(p, ds);
        for (ds, p) in ds.iter_mut().zip(p.iter()) {
            *ds = p * (*ds - mean);
        }
        if layout.softcap().is_some() {
            for (ds, slope) in ds.iter_mut().zip(&scratch.slopes) {
                *ds *= slope;
            }
        }
    }
    let turned = |data| View {
        data,
        row: 1,
        column: stride,
    };
    let part = keys.start * width..;
    let (dk, dv) = (
        &mut scratch.d_keys[part.clone()],
        &mut scratch.d_values[part.clone()],
    );
    let shape = [keys.len(), width, rows];
    multiply(
        simd,
        shape,
        turned(p),
        Rows {
            data: &scratch.grads,
            stride: width,
        },
        Output {
            data: dv,
            stride: width,
            accumulate: true,
        },
    );
    multiply(
        simd,
        shape,
        turned(ds),
        Rows {
            data: &scratch.queries,
            stride: width,
        },
        Output {
            data: dk,
            stride: width,
            accumulate: true,
        },
    );
    let shape = [rows, width, keys.len()];
    let d_scores = View {
        data: ds,
        row: stride,
        column: 1,
    };
    let dq = &mut scratch.d_queries;
    multiply(
        simd,
        shape,
        d_scores,
        Rows {
            data: &scratch.keys[part],
            stride: width,
        },
        Output {
            data: dq,
            stride: width,
            accumulate: false,
        },
    );
    for (i, dq) in dq.chunks_exact(width).enumerate().take(rows) {
        // SAFETY: one task alone writes the queries of a tree's rows and of a key head's group.
        #[allow(unsafe_code)]
        let out = unsafe {
            outputs
                .q
                .part((row0 + i) * q_stride + head * head_dim, head_dim)
        };
        out.copy_from_slice(&dq[..head_dim]);
    }
}
