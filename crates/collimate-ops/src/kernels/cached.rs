//! Attention of single queries over paged keys and values. Each task is one query and one key head.

use std::ops::Range;

use rayon::prelude::*;

use super::math;
use crate::cache::{Append, HostStore, PAGE};
use crate::{Heads, Scores};

/// Number of multiplications below which all work stays on one thread.
const PARALLEL_FROM: usize = 1 << 18;

/// Computes the output `[queries, query · head_dim]`.
///
/// One task sums every element in the order of the tokens, so a query's result does not depend on
/// the rest of the pass.
pub(crate) fn forward(
    q: &[f32],
    store: &HostStore,
    append: &Append,
    heads: Heads,
    scores_of: Scores,
) -> Vec<f32> {
    let Heads {
        key_value,
        head_dim,
        ..
    } = heads;
    // The query heads that share a key head lie together, so one task writes one part of the
    // output.
    let part = heads.group() * head_dim;
    let mut out = vec![0.0; q.len()];
    let queries = append.queries();
    let scale = scores_of.factor(head_dim) as f32;
    let softcap = scores_of.softcap.map(|cap| cap as f32);
    let work: usize = queries
        .iter()
        .map(|query| query.seen.len() * heads.query * head_dim)
        .sum();
    let task = |scores: &mut Vec<f32>, (index, (out, q)): (usize, (&mut [f32], &[f32]))| {
        let query = &queries[index / key_value];
        let Range { start, end } = query.seen.clone();
        let first_page = start / PAGE;
        let pages = &append.pages()[query.row][first_page..end.div_ceil(PAGE)];
        let row = Row {
            pages,
            seen: start - first_page * PAGE..end - first_page * PAGE,
            first: index % key_value * head_dim,
        };
        math::vectorised(
            #[inline(always)]
            || {
                for (out, q) in out.chunks_exact_mut(head_dim).zip(q.chunks_exact(head_dim)) {
                    one_head(out, q, store, &row, (scale, softcap), scores);
                }
            },
        );
    };
    if work < PARALLEL_FROM {
        let mut scores = Vec::new();
        let parts = out.chunks_exact_mut(part).zip(q.chunks_exact(part));
        parts.enumerate().for_each(|item| task(&mut scores, item));
    } else {
        out.par_chunks_exact_mut(part)
            .zip(q.par_chunks_exact(part))
            .enumerate()
            .for_each_init(Vec::new, task);
    }
    out
}

/// Part of a row's keys and values that a query sees, for one key head.
struct Row<'a> {
    pages: &'a [usize],
    /// Tokens that the query sees, counted from the first of the pages.
    seen: Range<usize>,
    /// First element of the key head.
    first: usize,
}

/// Computes the output of one query head.
#[inline(always)]
fn one_head(
    out: &mut [f32],
    q: &[f32],
    store: &HostStore,
    row: &Row<'_>,
    (scale, softcap): (f32, Option<f32>),
    scores: &mut Vec<f32>,
) {
    let HostStore {
        width,
        keys,
        values,
    } = store;
    let Row { pages, seen, first } = row;
    let head_dim = q.len();
    scores.clear();
    for page in *pages {
        let start = (page * width + first) * PAGE;
        let mut sums = [0.0f32; PAGE];
        let columns = keys[start..start + head_dim * PAGE].chunks_exact(PAGE);
        for (column, element) in columns.zip(q) {
            for (sum, key) in sums.iter_mut().zip(column) {
                *sum = element.mul_add(*key, *sum);
            }
        }
        scores.extend(sums.map(|sum| sum * scale));
    }
    // Slots of the last page beyond the row belong to no row or to another row.
    let scores = &mut scores[seen.clone()];
    if let Some(cap) = softcap {
        math::soft_capped(scores, cap);
    }
    let max = math::max(scores);
    math::exp_shifted(scores, max);
    let inverse = 1.0 / math::sum(scores);
    let tokens = pages.iter().flat_map(|page| page * PAGE..(page + 1) * PAGE);
    let rows = tokens
        .skip(seen.start)
        .zip(scores.iter())
        .map(|(slot, score)| {
            let at = slot * width + first;
            (*score, &values[at..at + head_dim])
        });
    match head_dim {
        32 => weighted_sum::<2>(out, rows),
        48 => weighted_sum::<3>(out, rows),
        64 => weighted_sum::<4>(out, rows),
        128 => weighted_sum::<8>(out, rows),
        _ => {
            for (score, value) in rows {
                for (out, value) in out.iter_mut().zip(value) {
                    *out = score.mul_add(*value, *out);
                }
            }
        }
    }
    for out in out {
        *out *= inverse;
    }
}

/// Number of elements that a processor adds at once.
const LANES: usize = 16;

/// Computes `out += Σ score · value` over rows of `N · LANES` elements, with the sums in registers.
#[inline(always)]
fn weighted_sum<'a, const N: usize>(out: &mut [f32], rows: impl Iterator<Item = (f32, &'a [f32])>) {
    let mut sums = [[0.0f32; LANES]; N];
    for (score, value) in rows {
        for (sums, value) in sums.iter_mut().zip(value.chunks_exact(LANES)) {
            for (sum, value) in sums.iter_mut().zip(value) {
                *sum = score.mul_add(*value, *sum);
            }
        }
    }
    for (out, sum) in out.iter_mut().zip(sums.as_flattened()) {
        *out += sum;
    }
}
