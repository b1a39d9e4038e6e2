//! Attention over keys and values that earlier passes stored.

mod pages;
mod store;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;
use collimate_core::Segment;

use crate::plan::window_start;
use crate::{AttentionPlan, Heads, Scores, Visibility, naive, segment_attention};
use pages::PageTable;
use store::Store;

pub(crate) use pages::PAGE;
pub(crate) use store::{DeviceStore, indices};
#[cfg(feature = "flex")]
pub(crate) use store::{HostStore, Stored};

/// Number type in which [`KvPages`] stores keys and values on flex. Other devices store them as they
/// are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheType {
    /// 32-bit floats: as they are.
    #[default]
    F32,
    /// 8 bits, and 32 bits for each token and head: an element is a multiple of a 127th of the largest
    /// size in its head. With heads of 64 elements this takes 0.27 of the memory. In a pass that reads
    /// only into empty rows, tokens see each other's elements as they are.
    Int8,
}

/// Keys and values of every layer for rows of different lengths.
///
/// The keys and values lie in pages of 16 tokens. Rows forked from one row share its pages. A fork
/// that grows copies only the last, unfilled page, so n answers to a prompt store the prompt once.
/// The pages of dropped rows are reused, and no data moves when a row ends.
#[derive(Debug)]
pub struct KvPages {
    table: PageTable,
    layers: Vec<Store>,
    heads: Heads,
    window: Option<NonZeroUsize>,
    scores: Scores,
    stored: CacheType,
}

impl KvPages {
    /// Creates an empty cache for a model of `layers` layers.
    pub fn new(layers: usize, heads: Heads) -> Self {
        Self {
            table: PageTable::default(),
            layers: (0..layers).map(|_| Store::default()).collect(),
            heads,
            window: None,
            scores: Scores::default(),
            stored: CacheType::default(),
        }
    }

    /// Returns an empty cache for the same model.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let fresh = Self::new(self.layers.len(), self.heads);
        fresh
            .with_window(self.window)
            .with_scores(self.scores)
            .with_type(self.stored)
    }

    /// Sets the number type of stored keys and values. The cache must be new.
    ///
    /// # Panics
    /// Panics if the cache holds rows.
    #[must_use]
    pub fn with_type(self, stored: CacheType) -> Self {
        assert_eq!(self.rows(), 0, "KvPages::with_type: the cache holds rows");
        Self { stored, ..self }
    }

    /// Sets the sliding window of the model ([`AttentionPlan::with_window`]). A token then sees
    /// itself and the `window − 1` tokens of its row before it. Pages that no window reaches any
    /// more are reused, so a row needs about one window of memory, however long it gets.
    #[must_use]
    pub fn with_window(self, window: Option<NonZeroUsize>) -> Self {
        Self { window, ..self }
    }

    /// Sets the form of the model's scores ([`AttentionPlan::with_scores`]).
    ///
    /// # Panics
    /// Panics as [`AttentionPlan::with_scores`] does.
    #[must_use]
    pub fn with_scores(self, scores: Scores) -> Self {
        scores.assert_valid();
        Self { scores, ..self }
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.table.rows()
    }

    /// Returns the number of tokens that a row holds.
    pub fn tokens(&self, row: usize) -> usize {
        self.table.len(row)
    }

    /// Returns the number of tokens that fit into the allocated pages. The memory of the cache is
    /// proportional to it.
    pub fn capacity(&self) -> usize {
        self.table.allocated() * PAGE
    }

    /// Adds a row without tokens. Returns its index.
    pub fn push(&mut self) -> usize {
        self.table.push()
    }

    /// Replaces the rows by the given rows, in this order. A row that is named several times is
    /// forked; a row that is not named is dropped.
    ///
    /// # Panics
    /// Panics if a row does not exist.
    pub fn keep(&mut self, rows: &[usize]) {
        self.table.keep(rows);
    }

    /// Makes room for new tokens, given as pairs (row, number of tokens). Each row may occur only
    /// once.
    ///
    /// Each layer must then be written once, by [`cached_attention`] with the returned plan, before
    /// the rows change again.
    ///
    /// # Panics
    /// Panics if a row does not exist.
    pub fn append(&mut self, rows: &[(usize, usize)]) -> Append {
        let mut append = Append::default();
        let fresh = rows.iter().all(|&(row, _)| self.table.len(row) == 0);
        for &(row, count) in rows {
            let before = self.table.len(row);
            // Tokens that the first new token does not see are not seen by later tokens either.
            self.table
                .forget(row, window_start(self.window, before + 1));
            let slots = self.table.append(row, count, &mut append.copies);
            append.slots.extend(slots);
            for token in before..before + count {
                append.positions.push(token as u32);
                let end = token + 1;
                append.queries.push(Query {
                    row: append.pages.len(),
                    seen: window_start(self.window, end)..end,
                });
            }
            append.pages.push(self.table.pages(row).into());
        }
        append.allocated = self.table.allocated();
        if fresh {
            let mut segments: Vec<Segment> = Vec::with_capacity(rows.len());
            for &(_, len) in rows.iter().filter(|(_, count)| *count > 0) {
                let start = segments.last().map_or(0, |last| last.range().end);
                segments.push(Segment {
                    start,
                    len,
                    parent: None,
                });
            }
            let plan = AttentionPlan::new(&segments, Visibility::Causal).ok();
            append.plan = plan.map(|plan| plan.with_window(self.window).with_scores(self.scores));
        }
        append
    }
}

/// Plan of one pass: the places of its keys and values, and the tokens that each query sees.
#[derive(Debug, Default)]
pub struct Append {
    positions: Vec<u32>,
    slots: Vec<usize>,
    copies: Vec<(usize, usize)>,
    allocated: usize,
    pages: Vec<Arc<[usize]>>,
    queries: Vec<Query>,
    /// Plan of a pass in which no row had tokens before. Attention then needs no cache.
    plan: Option<AttentionPlan>,
}

/// A query: the row whose pages it reads, and the range of the row's tokens that it sees.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) row: usize,
    pub(crate) seen: Range<usize>,
}

impl Append {
    /// Returns the position of each new token in its row.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Returns the index of each row's last new token among the new tokens.
    pub fn last(&self) -> Vec<usize> {
        let ends = self.queries.windows(2).enumerate();
        let mut last: Vec<usize> = ends
            .filter(|(_, pair)| pair[0].row != pair[1].row)
            .map(|(index, _)| index)
            .collect();
        last.extend(self.queries.len().checked_sub(1));
        last
    }

    /// Returns the pages that each row reads, in the order of the pass.
    pub(crate) fn pages(&self) -> &[Arc<[usize]>] {
        &self.pages
    }

    pub(crate) fn queries(&self) -> &[Query] {
        &self.queries
    }
}

/// Writes the keys and values of the new tokens to the cache and computes their attention. A token
/// sees the tokens of its row up to and including itself, within the cache's window. The scores
/// have the form of the cache's [`Scores`].
///
/// # Shapes
/// `q`: `[new tokens, query · head_dim]`; `k`, `v`: `[new tokens, key_value · head_dim]`; result as
/// `q`. Tokens lie row after row, in the order given to [`KvPages::append`].
///
/// # Gradient
/// None: the result is untracked.
///
/// # Numerics
/// On flex, a token's result does not depend on the other rows of the pass, bit for bit. With
/// [`CacheType::Int8`], it depends on whether all rows of the pass were empty before.
///
/// # Panics
/// Panics if the shapes do not fit the cache's heads or the plan.
pub fn cached_attention(
    q: Tensor<2>,
    k: Tensor<2>,
    v: Tensor<2>,
    cache: &mut KvPages,
    layer: usize,
    append: &Append,
) -> Tensor<2> {
    let (heads, scores) = (cache.heads, cache.scores);
    let tokens = append.slots.len();
    let keys = [tokens, heads.key_value * heads.head_dim];
    assert_eq!(
        q.dims(),
        [tokens, heads.query * heads.head_dim],
        "cached_attention: shape of q"
    );
    assert_eq!(k.dims(), keys, "cached_attention: shape of k");
    assert_eq!(v.dims(), keys, "cached_attention: shape of v");
    let [q, k, v] = [q, k, v].map(Tensor::without_autodiff);
    let store = &mut cache.layers[layer];
    store.write(
        append.allocated,
        &append.copies,
        &append.slots,
        [&k, &v],
        (heads, cache.stored),
    );
    if let Some(plan) = &append.plan {
        return segment_attention(q, k, v, plan, heads);
    }
    match store {
        Store::Empty => q,
        Store::Device(store) => naive::cached_attention(q, store, append, heads, scores),
        #[cfg(feature = "flex")]
        Store::Host(store) => over_pages(q, store, append, heads, scores),
        #[cfg(feature = "flex")]
        Store::Rounded(store) => over_pages(q, store, append, heads, scores),
    }
}

#[cfg(feature = "flex")]
fn over_pages<N: Stored>(
    q: Tensor<2>,
    store: &HostStore<N>,
    append: &Append,
    heads: Heads,
    scores: Scores,
) -> Tensor<2> {
    use crate::fused;
    let shape = q.dims();
    let q = fused::plain(q);
    let out = crate::kernels::cached::forward(fused::slice(&q), store, append, heads, scores);
    fused::made_tensor(out, shape)
}
