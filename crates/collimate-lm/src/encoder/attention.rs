//! Attention with a bias of the scores that depends on the distance of two tokens.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use collimate_nn::{DeviceBatch, Embedding};
use collimate_ops::Heads;

/// Number of rows of the table of biases: half for preceding tokens, half for following tokens.
pub(super) const BUCKETS: usize = 32;

/// Buckets of all pairs of tokens, for each sequence of a batch.
#[derive(Debug, Clone)]
pub(super) struct Distances {
    /// First row and length of each sequence, and the buckets of its pairs of tokens.
    sequences: Vec<(usize, usize, Tensor<1, Int>)>,
}

impl Distances {
    pub(super) fn new(batch: &DeviceBatch) -> Self {
        let filled = batch.sequences.iter().filter(|s| !s.rows.is_empty());
        // A sequence of an encoder is one segment, so its rows are contiguous.
        let sequences = filled.map(|s| {
            let n = s.rows.len();
            (s.rows[0], n, buckets(n, &batch.device))
        });
        Self {
            sequences: sequences.collect(),
        }
    }

    /// Computes attention over each sequence, in plain tensor operations.
    ///
    /// ```text
    /// softmax(q·kᵀ / √head_dim + table[bucket(j − i)]) · v
    /// ```
    ///
    /// # Shapes
    /// `q`, `k`, `v`, result: `[tokens, heads · head_dim]`; `table: [BUCKETS, heads]`.
    pub(super) fn attend(
        &self,
        q: &Tensor<2>,
        k: &Tensor<2>,
        v: &Tensor<2>,
        table: &Embedding,
        heads: Heads,
    ) -> Tensor<2> {
        if self.sequences.is_empty() {
            return q.clone();
        }
        let (count, width) = (heads.query, heads.head_dim);
        let scale = 1.0 / (width as f64).sqrt();
        let outputs = self.sequences.iter().map(|(first, n, buckets)| {
            let part = |t: &Tensor<2>| {
                let rows = t.clone().narrow(0, *first, *n);
                rows.reshape([*n, count, width]).swap_dims(0, 1)
            };
            let bias = table.forward(buckets.clone()).transpose();
            let scores = part(q).matmul(part(k).swap_dims(1, 2)) * scale;
            let scores = scores + bias.reshape([count, *n, *n]);
            let mixed = activation::softmax(scores, 2).matmul(part(v));
            mixed.swap_dims(0, 1).reshape([*n, count * width])
        });
        Tensor::cat(outputs.collect(), 0)
    }
}

/// Returns the bucket of every pair of a sequence's tokens, row by row.
fn buckets(n: usize, device: &Device) -> Tensor<1, Int> {
    let all = (0..n).flat_map(|i| (0..n).map(move |j| bucket(i, j) as i64));
    Tensor::from_data(TensorData::new(all.collect::<Vec<_>>(), [n * n]), device)
}

/// Returns the bucket of token `j` as seen from token `i`. Each of the seven nearest distances has
/// a bucket. Then each doubling of the distance has two, and the last bucket holds every distance
/// from 8·2^3.5 = 90.5.
///
/// ```text
/// 8 + ⌊8 · log(d/8) / log(128/8)⌋ = 8 + ⌊log₂(d²/64)⌋
/// ```
fn bucket(i: usize, j: usize) -> usize {
    let distance = i.abs_diff(j);
    let near = match distance {
        0..8 => distance,
        _ => (2 + (distance * distance).ilog2() as usize).min(BUCKETS / 2 - 1),
    };
    near + if j > i { BUCKETS / 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table holds the first distance of each bucket, from transformers'
    /// `relative_position_bucket`.
    #[test]
    fn buckets_are_those_of_transformers() {
        let first = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91];
        for distance in 0..600 {
            let wanted = first.iter().rposition(|&first| first <= distance).unwrap();
            assert_eq!(bucket(1000, 1000 - distance), wanted, "{distance} behind");
            let ahead = wanted + if distance > 0 { 16 } else { 0 };
            assert_eq!(bucket(0, distance), ahead, "{distance} ahead");
        }
    }
}
