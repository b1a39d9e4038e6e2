//! Attention of single queries over paged keys and values. Each task is one query and one key head.

use std::ops::Range;

use rayon::prelude::*;

use super::math;
use crate::cache::{Append, HostStore, PAGE, Stored};
use crate::{Heads, Scores};

/// Number of multiplications below which all work stays on one thread.
const PARALLEL_FROM: usize = 1 << 18;

/// Computes the output `[queries, query · head_dim]`.
///
/// One task sums every element in the order of the tokens, so a query's result does not depend on
/// the rest of the pass.
pub(crate) fn forward<N: Stored>(
    q: &[f32],
    store: &HostStore<N>,
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
            head: index % key_value,
            heads: key_value,
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
    /// The key head, and the number of key heads.
    head: usize,
    heads: usize,
}

/// Computes the output of one query head.
#[inline(always)]
fn one_head<N: Stored>(
    out: &mut [f32],
    q: &[f32],
    store: &HostStore<N>,
    row: &Row<'_>,
    (scale, softcap): (f32, Option<f32>),
    scores: &mut Vec<f32>,
) {
    let HostStore {
        width,
        keys,
        values,
    } = store;
    let Row {
        pages,
        seen,
        head,
        heads,
    } = row;
    let first = head * q.len();
    scores.clear();
    let mut together = pages.chunks_exact(TOGETHER);
    let start = |page: &usize| (page * width + first) * PAGE;
    for pages in &mut together {
        scores_of_pages::<TOGETHER, N>(q, &keys.numbers, |page| start(&pages[page]), scores);
    }
    for page in together.remainder() {
        scores_of_pages::<1, N>(q, &keys.numbers, |_| start(page), scores);
    }
    for (page, scores) in pages.iter().zip(scores.chunks_exact_mut(PAGE)) {
        match keys.scales(*page, *head, *heads) {
            None => scores.iter_mut().for_each(|score| *score *= scale),
            Some(scales) => {
                for (score, key) in scores.iter_mut().zip(scales) {
                    *score *= key * scale;
                }
            }
        }
    }
    // Slots of the last page beyond the row belong to no row or to another row.
    let scores = &mut scores[seen.clone()];
    if let Some(cap) = softcap {
        math::soft_capped(scores, cap);
    }
    let max = math::max(scores);
    math::exp_shifted(scores, max);
    let inverse = 1.0 / math::sum(scores);
    let mut rest = &*scores;
    let mut skipped = seen.start;
    for page in *pages {
        let (now, later) = rest.split_at(rest.len().min(PAGE - skipped));
        // The factor of a value is one of its weight.
        let mut scaled = [0.0; PAGE];
        let now = match store.values.scales(*page, *head, *heads) {
            None => now,
            Some(scales) => {
                let scaled = &mut scaled[..now.len()];
                for ((scaled, score), value) in scaled.iter_mut().zip(now).zip(&scales[skipped..]) {
                    *scaled = score * value;
                }
                scaled
            }
        };
        let values = &values.numbers[(page * PAGE + skipped) * width + first..];
        let mut place = 0;
        let mut parts = out.chunks_exact_mut(2 * LANES);
        for part in &mut parts {
            weighted_sum::<{ 2 * LANES }, N>(part, now, &values[place..], *width);
            place += 2 * LANES;
        }
        let mut parts = parts.into_remainder().chunks_exact_mut(LANES);
        for part in &mut parts {
            weighted_sum::<LANES, N>(part, now, &values[place..], *width);
            place += LANES;
        }
        let part = parts.into_remainder();
        if !part.is_empty() {
            for (slot, score) in now.iter().enumerate() {
                for (out, value) in part.iter_mut().zip(&values[slot * width + place..]) {
                    *out = score.mul_add(value.number(), *out);
                }
            }
        }
        (rest, skipped) = (later, 0);
    }
    for out in out {
        *out *= inverse;
    }
}

/// Number of pages whose scores are computed together, because a sum must wait for the one before.
const TOGETHER: usize = 4;

/// Appends the products of a query with the keys of `N` pages, whose keys start at `start`.
#[inline(always)]
fn scores_of_pages<const N: usize, K: Stored>(
    q: &[f32],
    keys: &[K],
    start: impl Fn(usize) -> usize,
    scores: &mut Vec<f32>,
) {
    let pages: [&[K]; N] =
        std::array::from_fn(|page| &keys[start(page)..start(page) + q.len() * PAGE]);
    let mut sums = [[0.0f32; PAGE]; N];
    for (index, element) in q.iter().enumerate() {
        // The loops have lengths that the compiler knows, so that the sums stay in registers.
        for page in 0..N {
            let (column, _) = pages[page][index * PAGE..].split_first_chunk().expect(SIZE);
            let column: &[K; PAGE] = column;
            for slot in 0..PAGE {
                sums[page][slot] = element.mul_add(column[slot].number(), sums[page][slot]);
            }
        }
    }
    scores.extend_from_slice(sums.as_flattened());
}

const SIZE: &str = "a whole number of vectors";

/// Number of elements that a processor adds at once.
const LANES: usize = 16;

/// Computes `out += Σ score · value` for `L` elements. A value starts `width` elements after the one
/// before.
#[inline(always)]
fn weighted_sum<const L: usize, N: Stored>(
    out: &mut [f32],
    scores: &[f32],
    values: &[N],
    width: usize,
) {
    let out: &mut [f32; L] = out.try_into().expect(SIZE);
    let mut sums = *out;
    for (slot, score) in scores.iter().enumerate() {
        let (value, _) = values[slot * width..].split_first_chunk().expect(SIZE);
        let value: &[N; L] = value;
        // The length is one that the compiler knows, so that the sums stay in registers.
        for lane in 0..L {
            sums[lane] = score.mul_add(value[lane].number(), sums[lane]);
        }
    }
    *out = sums;
}
