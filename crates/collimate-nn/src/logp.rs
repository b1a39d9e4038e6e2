//! Log-probabilities of completions, without a `[tokens, vocab]` matrix.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use crate::batch::DeviceBatch;
use crate::forward::Forward;
use crate::traits::CausalLm;

/// Log-probability of every completion token of the batch, in nats.
///
/// # Shapes
/// `hidden: [tokens, width]`, `output_weight: [vocab, width]`; result `[completion tokens]`,
/// sequence after sequence.
pub fn token_logps(hidden: Tensor<2>, output_weight: Tensor<2>, batch: &DeviceBatch) -> Tensor<1> {
    let (hidden, targets) = predicted(hidden, batch);
    collimate_ops::selected_logp(hidden, output_weight, targets)
}

/// [`token_logps`], and the entropy of the distribution that each token was predicted by.
///
/// # Shapes
/// As [`token_logps`]; both results `[completion tokens]`, in nats.
pub fn token_logps_entropy(
    hidden: Tensor<2>,
    output_weight: Tensor<2>,
    batch: &DeviceBatch,
) -> (Tensor<1>, Tensor<1>) {
    let (hidden, targets) = predicted(hidden, batch);
    collimate_ops::selected_logp_entropy(hidden, output_weight, targets)
}

/// The hidden state before each completion token, and the token.
fn predicted(hidden: Tensor<2>, batch: &DeviceBatch) -> (Tensor<2>, Tensor<1, Int>) {
    let sources = batch
        .sequences
        .iter()
        .flat_map(|s| s.sources.iter().copied());
    let targets = batch
        .sequences
        .iter()
        .flat_map(|s| s.targets.iter().map(|&id| id as usize));
    (
        hidden.select(0, batch.indices(sources)),
        batch.indices(targets),
    )
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
