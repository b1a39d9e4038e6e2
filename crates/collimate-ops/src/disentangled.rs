//! Attention by content and relative position, as in DeBERTa.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, activation};

use crate::plan::Block;
use crate::{AttentionPlan, Heads, OpsError, naive};

/// Rows of a table of relative positions: one row per distance, or one per bucket of distances.
///
/// With `b` buckets, each distance up to `m = b / 2` has its own row. Longer distances share rows,
/// and a row covers more distances the longer they are:
///
/// ```text
/// bucket(δ) = δ                                                          |δ| ≤ m
/// bucket(δ) = ±(m + ⌈ln(|δ| / m) / ln((longest − 1) / m) · (m − 1)⌉)     else
/// row(δ)    = bucket(δ) + span, kept within 0 .. 2·span
/// ```
///
/// Here `span` is `b`, or `longest` without buckets. `δ` is the query's position minus the key's.
///
/// DeBERTa, <https://arxiv.org/abs/2006.03654>, equation 3; buckets as in version 2.
///
/// # Examples
/// ```
/// use collimate_ops::RelativePositions;
///
/// // DeBERTa-v3: `position_buckets` and `max_relative_positions`.
/// let positions = RelativePositions::new(256, 512)?;
/// assert_eq!(positions.rows(), 512);
/// assert_eq!((positions.row(0), positions.row(-3), positions.row(511)), (256, 253, 511));
/// # Ok::<(), collimate_ops::OpsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RelativePositions {
    buckets: usize,
    longest: usize,
}

impl RelativePositions {
    /// Creates rows for distances below `longest`, in `buckets` buckets; 0 means no buckets.
    ///
    /// # Errors
    /// There is a single bucket, or no distance, or the buckets cover every distance singly.
    pub fn new(buckets: usize, longest: usize) -> Result<Self, OpsError> {
        let fits = match buckets {
            0 => longest > 0,
            _ => buckets > 1 && longest > buckets / 2 + 1,
        };
        if !fits {
            return Err(OpsError::RelativePositions { buckets, longest });
        }
        Ok(Self { buckets, longest })
    }

    /// Returns the number of rows on each side of distance zero.
    fn span(self) -> usize {
        match self.buckets {
            0 => self.longest,
            buckets => buckets,
        }
    }

    /// Returns the number of rows of the table.
    pub fn rows(self) -> usize {
        2 * self.span()
    }

    /// Returns the row of a distance: the query's position minus the key's.
    pub fn row(self, distance: isize) -> usize {
        let middle = self.buckets / 2;
        let far = distance.unsigned_abs();
        let bucket = if self.buckets == 0 || far <= middle {
            distance
        } else {
            // Computed in f32, like the models' own code, because rounding up selects the row.
            let ratio = |of: usize| (of as f32 / middle as f32).ln();
            let steps = ratio(far) / ratio(self.longest - 1) * (middle - 1) as f32;
            distance.signum() * (steps.ceil() as isize + middle as isize)
        };
        let span = self.span() as isize;
        (bucket + span).clamp(0, 2 * span - 1) as usize
    }
}

/// A layer's projections of the table of relative positions.
#[derive(Debug, Clone)]
pub struct RelativeProjections {
    /// Rows of the table, by distance.
    pub positions: RelativePositions,
    /// Position keys, multiplied with content queries (`c2p`): `[rows, heads · head_dim]`.
    pub keys: Option<Tensor<2>>,
    /// Position queries, multiplied with content keys (`p2c`): `[rows, heads · head_dim]`.
    pub queries: Option<Tensor<2>>,
}

/// Computes attention with scores that depend on the contents of two tokens and on their distance.
///
/// ```text
/// s[i, j] = (q[i]·k[j] + q[i]·K[row(i − j)] + k[j]·Q[row(i − j)]) / √(n · head_dim)
/// ```
///
/// K and Q are the position keys and queries of `relative`; an absent one adds no term. `n` is the
/// number of terms in the bracket. Positions are counted in each sequence of the plan. The plan's
/// window and [`Scores`](crate::Scores) apply; an explicit scale replaces `1 / √(n · head_dim)`.
///
/// DeBERTa, <https://arxiv.org/abs/2006.03654>, equations 2 to 4.
///
/// # Shapes
/// `q`, `k`, `v`: `[tokens, heads · head_dim]`; result likewise.
///
/// # Gradient
/// All inputs and both projections have gradients. Every device computes this operation with plain
/// tensor calls, segment after segment. The scores of a segment are kept for backward: a small
/// multiple of `heads · len²` numbers.
///
/// # Panics
/// Panics if the shapes do not fit the plan, the heads and the positions, or if heads share keys.
pub fn disentangled_attention(
    q: Tensor<2>,
    k: Tensor<2>,
    v: Tensor<2>,
    relative: &RelativeProjections,
    plan: &AttentionPlan,
    heads: Heads,
) -> Tensor<2> {
    heads.assert_valid();
    let Heads {
        query, head_dim, ..
    } = heads;
    assert_eq!(
        query, heads.key_value,
        "disentangled_attention: heads share no keys"
    );
    let width = query * head_dim;
    for (name, x) in [("q", &q), ("k", &k), ("v", &v)] {
        let shape = [plan.tokens(), width];
        assert_eq!(x.dims(), shape, "disentangled_attention: shape of {name}");
    }
    let tables = [&relative.keys, &relative.queries];
    for table in tables.into_iter().flatten() {
        let shape = [relative.positions.rows(), width];
        assert_eq!(
            table.dims(),
            shape,
            "disentangled_attention: shape of a projection"
        );
    }
    if plan.blocks().is_empty() {
        return q;
    }
    // [heads, tokens, head_dim]
    let by_head = |x: Tensor<2>| {
        let [rows, _] = x.dims();
        x.reshape([rows, query, head_dim]).swap_dims(0, 1)
    };
    let terms = 1 + tables.into_iter().flatten().count();
    let factor = plan.scores().factor(terms * head_dim);
    let parts = Parts {
        heads: query,
        factor,
        keys: relative.keys.clone().map(by_head),
        queries: relative.queries.clone().map(by_head),
        positions: relative.positions,
        device: q.device().without_autodiff(),
    };
    let [q, k, v] = [q, k, v].map(by_head);
    let outputs = plan.blocks().iter().map(|block| {
        let own = block.own.clone();
        let first = plan.seen(block, 0).start;
        let seen = |x: &Tensor<3>| {
            let ranges = block.key_rows(first);
            let parts = ranges.map(|range| x.clone().narrow(1, range.start, range.len()));
            Tensor::cat(parts.collect(), 1)
        };
        let queries = q.clone().narrow(1, own.start, own.len());
        let scores = parts.scores(queries, seen(&k), plan, block, first);
        activation::softmax(scores, 2)
            .matmul(seen(&v))
            .swap_dims(0, 1)
            .reshape([own.len(), width])
    });
    Tensor::cat(outputs.collect(), 0)
}

/// Parts that the scores of all segments share.
struct Parts {
    heads: usize,
    factor: f64,
    /// `[heads, rows, head_dim]`.
    keys: Option<Tensor<3>>,
    /// `[heads, rows, head_dim]`.
    queries: Option<Tensor<3>>,
    positions: RelativePositions,
    /// Device without autodiff.
    device: Device,
}

impl Parts {
    /// Computes the scores of a segment's queries; a key that the plan hides gets `−∞`.
    fn scores(
        &self,
        q: Tensor<3>,
        k: Tensor<3>,
        plan: &AttentionPlan,
        block: &Block,
        first: usize,
    ) -> Tensor<3> {
        let [heads, own, _] = q.dims();
        let [_, seen, _] = k.dims();
        let distance = |i: usize, j: usize| {
            let (query, key) = (block.context_len + i, first + j);
            query as isize - key as isize
        };
        let mut sum = q.clone().matmul(k.clone().swap_dims(1, 2));
        // Rows grow with the distance, so the rows of this segment are contiguous.
        let low = self.positions.row(distance(0, seen - 1));
        let high = self.positions.row(distance(own - 1, 0));
        let row = |i: usize, j: usize| (self.positions.row(distance(i, j)) - low) as i64;
        // Products `[heads, rows]`; each pair of tokens selects one.
        let met = |content: Tensor<3>, table: &Tensor<3>, rows: Vec<i64>| {
            let table = table.clone().narrow(1, low, high - low + 1);
            let [_, length, _] = content.dims();
            let products = content.matmul(table.swap_dims(1, 2));
            let others = rows.len() / length;
            let rows = TensorData::new(rows, [1, length, others]);
            let rows = Tensor::<3, Int>::from_data(rows, &self.device);
            products.gather(2, rows.repeat_dim(0, heads))
        };
        if let Some(keys) = &self.keys {
            let rows = (0..own).flat_map(|i| (0..seen).map(move |j| (i, j)));
            sum = sum + met(q, keys, rows.map(|(i, j)| row(i, j)).collect());
        }
        if let Some(queries) = &self.queries {
            let rows = (0..seen).flat_map(|j| (0..own).map(move |i| (i, j)));
            let products = met(k, queries, rows.map(|(i, j)| row(i, j)).collect());
            sum = sum + products.swap_dims(1, 2);
        }
        let scores = naive::soft_capped(sum * self.factor, plan.scores().softcap);
        let hidden = (0..own).flat_map(|i| {
            let visible = plan.seen(block, i);
            (first..first + seen).map(move |key| !visible.contains(&key))
        });
        let hidden: Vec<bool> = hidden.collect();
        if !hidden.contains(&true) {
            return scores;
        }
        let hidden = TensorData::new(hidden, [1, own, seen]);
        let hidden = Tensor::<3, Bool>::from_data(hidden, &self.device);
        scores.mask_fill(hidden.expand([self.heads, own, seen]), f32::NEG_INFINITY)
    }
}
