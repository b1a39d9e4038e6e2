//! Pooling a sequence's hidden states into one vector.

use burn::tensor::{IndexingUpdateOp, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::batch::DeviceBatch;
use crate::forward::Forward;
use crate::traits::Backbone;

/// Choice of the vector that represents a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The hidden state of the last token, which in a decoder is the only token that has seen
    /// everything.
    LastToken,
    /// The mean of the hidden states of all tokens.
    Mean,
    /// The hidden state of the first token.
    Cls,
}

impl Pooling {
    /// Returns the row that represents each sequence, or `None` for the mean.
    fn rows(self, batch: &DeviceBatch) -> Option<Vec<usize>> {
        let sequences = batch.sequences.iter();
        match self {
            Self::LastToken => Some(sequences.map(|s| s.last).collect()),
            Self::Cls => Some(sequences.map(|s| s.rows[0]).collect()),
            Self::Mean => None,
        }
    }
}

/// Computes one vector per sequence of the batch: [`pool`] of the backbone's hidden states. If the
/// pooling reads one row per sequence, only the hidden states of those rows are computed.
///
/// # Shapes
/// Result `[sequences, width]`.
pub fn pooled<B: Backbone>(
    backbone: &B,
    batch: &DeviceBatch,
    pooling: Pooling,
    f: Forward,
) -> Tensor<2> {
    match pooling.rows(batch) {
        Some(rows) => backbone.hidden_at(batch, &rows, f),
        None => mean(backbone.hidden(batch, f), batch),
    }
}

/// Pools given hidden states into one vector per sequence of the batch.
///
/// # Shapes
/// `hidden: [tokens, width]`, result `[sequences, width]`.
pub fn pool(hidden: Tensor<2>, batch: &DeviceBatch, pooling: Pooling) -> Tensor<2> {
    match pooling.rows(batch) {
        Some(rows) => hidden.select(0, batch.indices(rows)),
        None => mean(hidden, batch),
    }
}

fn mean(hidden: Tensor<2>, batch: &DeviceBatch) -> Tensor<2> {
    let [_, width] = hidden.dims();
    let rows = batch.indices(batch.sequences.iter().flat_map(|s| s.rows.iter().copied()));
    let owner = batch.indices(
        batch
            .sequences
            .iter()
            .enumerate()
            .flat_map(|(index, s)| s.rows.iter().map(move |_| index)),
    );
    let n = batch.sequences.len();
    let sum = Tensor::zeros([n, width], &batch.device).select_assign(
        0,
        owner,
        hidden.select(0, rows),
        IndexingUpdateOp::Add,
    );
    let shares: Vec<f32> = batch
        .sequences
        .iter()
        .map(|s| 1.0 / s.rows.len().max(1) as f32)
        .collect();
    sum * Tensor::from_data(TensorData::new(shares, [n, 1]), &batch.device)
}
