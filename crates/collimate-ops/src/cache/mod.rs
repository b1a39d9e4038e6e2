//! Attention over keys and values that earlier passes left.

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
#[cfg(feature = "flex")]
pub(crate) use store::HostStore;
pub(crate) use store::{DeviceStore, indices};

/// Keys and values of every layer for rows of different lengths.
///
/// They lie in pages of 16 tokens. Rows forked from one row share its pages and copy only the last,
/// unfilled one when they go on, so that n answers to a prompt hold it once; the pages of dropped
/// rows are used again, and nothing moves when a row ends.
#[derive(Debug)]
pub struct KvPages {
    table: PageTable,
    layers: Vec<Store>,
    heads: Heads,
    window: Option<NonZeroUsize>,
    scores: Scores,
}

impl KvPages {
    /// An empty cache for a model of `layers` layers.
    pub fn new(layers: usize, heads: Heads) -> Self {
        Self {
            table: PageTable::default(),
            layers: (0..layers).map(|_| Store::default()).collect(),
            heads,
            window: None,
            scores: Scores::default(),
        }
    }

    /// An empty cache for the same model.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let fresh = Self::new(self.layers.len(), self.heads);
        fresh.with_window(self.window).with_scores(self.scores)
    }

    /// The cache of a model with a sliding window ([`AttentionPlan::with_window`]): a token sees
    /// itself and the `window − 1` tokens of its row before it. Pages that no window reaches any more are
    /// used again, so that a row holds about a window however long it gets.
    #[must_use]
    pub fn with_window(self, window: Option<NonZeroUsize>) -> Self {
        Self { window, ..self }
    }

    /// The cache of a model with scores of this form ([`AttentionPlan::with_scores`]).
    ///
    /// # Panics
    /// As [`AttentionPlan::with_scores`].
    #[must_use]
    pub fn with_scores(self, scores: Scores) -> Self {
        scores.assert_valid();
        Self { scores, ..self }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.table.rows()
    }

    /// Tokens that a row holds.
    pub fn tokens(&self, row: usize) -> usize {
        self.table.len(row)
    }

    /// Tokens that fit into the pages made so far: what the cache's memory goes with.
    pub fn capacity(&self) -> usize {
        self.table.allocated() * PAGE
    }

    /// Adds a row without tokens; returns its index.
    pub fn push(&mut self) -> usize {
        self.table.push()
    }

    /// The rows become these, in this order: one that is named several times is forked, one that
    /// is not named is dropped.
    ///
    /// # Panics
    /// When a row does not exist.
    pub fn keep(&mut self, rows: &[usize]) {
        self.table.keep(rows);
    }

    /// Makes room for new tokens: (row, how many) each, every row at most once.
    ///
    /// Each layer must then be written once, by [`cached_attention`] with the returned plan, before
    /// the rows change again.
    ///
    /// # Panics
    /// When a row does not exist.
    pub fn append(&mut self, rows: &[(usize, usize)]) -> Append {
        let mut append = Append::default();
        let fresh = rows.iter().all(|&(row, _)| self.table.len(row) == 0);
        for &(row, count) in rows {
            let before = self.table.len(row);
            // What the first new token does not see, no later one does.
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

/// Where one pass writes its keys and values and what its tokens see.
#[derive(Debug, Default)]
pub struct Append {
    positions: Vec<u32>,
    slots: Vec<usize>,
    copies: Vec<(usize, usize)>,
    allocated: usize,
    pages: Vec<Arc<[usize]>>,
    queries: Vec<Query>,
    /// Where no row had tokens before: attention then needs no cache.
    plan: Option<AttentionPlan>,
}

/// A query: the row whose pages it reads, and which of the row's tokens it sees.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) row: usize,
    pub(crate) seen: Range<usize>,
}

impl Append {
    /// Position of each new token in its row.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Index of each row's last new token among the new tokens.
    pub fn last(&self) -> Vec<usize> {
        let ends = self.queries.windows(2).enumerate();
        let mut last: Vec<usize> = ends
            .filter(|(_, pair)| pair[0].row != pair[1].row)
            .map(|(index, _)| index)
            .collect();
        last.extend(self.queries.len().checked_sub(1));
        last
    }

    /// The pages that each row reads, in the order of the pass.
    pub(crate) fn pages(&self) -> &[Arc<[usize]>] {
        &self.pages
    }

    pub(crate) fn queries(&self) -> &[Query] {
        &self.queries
    }
}

/// Writes the new tokens' keys and values to the cache and attends over what their rows hold up to
/// and including them, as far as the cache's window reaches, with the cache's [`Scores`].
///
/// # Shapes
/// `q`: `[new tokens, query · head_dim]`; `k`, `v`: `[new tokens, key_value · head_dim]`; result as
/// `q`. Tokens lie row after row, as [`KvPages::append`] was told.
///
/// # Gradient
/// None: the result is untracked.
///
/// # Numerics
/// On flex a token's result does not depend on the other rows of the pass, bit by bit.
///
/// # Panics
/// When the shapes do not fit the cache's heads or the plan.
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
    store.write(append.allocated, &append.copies, &append.slots, &k, &v);
    if let Some(plan) = &append.plan {
        return segment_attention(q, k, v, plan, heads);
    }
    match store {
        Store::Empty => q,
        Store::Device(store) => naive::cached_attention(q, store, append, heads, scores),
        #[cfg(feature = "flex")]
        Store::Host(store) => {
            use crate::fused;
            let shape = q.dims();
            let q = fused::plain(q);
            let out =
                crate::kernels::cached::forward(fused::slice(&q), store, append, heads, scores);
            fused::made_tensor(out, shape)
        }
    }
}
