//! Log-probabilities of completions, without a `[tokens, vocab]` matrix.

use burn::tensor::{IndexingUpdateOp, Tensor};

use crate::batch::DeviceBatch;
use crate::forward::Forward;
use crate::traits::CausalLm;

/// Log-probability of every completion token of the batch, in nats.
///
/// # Shapes
/// `hidden: [tokens, width]`, `output_weight: [vocab, width]`; result `[completion tokens]`,
/// sequence after sequence.
pub fn token_logps(hidden: Tensor<2>, output_weight: Tensor<2>, batch: &DeviceBatch) -> Tensor<1> {
    let sources = batch.indices(
        batch
            .sequences
            .iter()
            .flat_map(|s| s.sources.iter().copied()),
    );
    let targets = batch.indices(
        batch
            .sequences
            .iter()
            .flat_map(|s| s.targets.iter().map(|&id| id as usize)),
    );
    collimate_ops::selected_logp(hidden.select(0, sources), output_weight, targets)
}

/// Sums token values over each sequence.
///
/// # Shapes
/// `values: [completion tokens]` as [`token_logps`] orders them; result `[sequences]`.
pub fn sum_by_sequence(values: Tensor<1>, batch: &DeviceBatch) -> Tensor<1> {
    let owner = batch.indices(
        batch
            .sequences
            .iter()
            .enumerate()
            .flat_map(|(index, s)| s.targets.iter().map(move |_| index)),
    );
    Tensor::zeros([batch.sequences.len()], &batch.device).select_assign(
        0,
        owner,
        values,
        IndexingUpdateOp::Add,
    )
}

/// Summed log-probability of each completion, log π(y|x), in nats.
///
/// # Shapes
/// Result `[sequences]`.
pub fn completion_logps<M: CausalLm>(model: &M, batch: &DeviceBatch, f: Forward) -> Tensor<1> {
    let hidden = model.hidden(batch, f);
    let values = token_logps(hidden, model.output_weight(), batch);
    sum_by_sequence(values, batch)
}
