//! Log-probabilities of completions, without a `[tokens, vocab]` matrix.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use crate::batch::DeviceBatch;
use crate::forward::Forward;
use crate::output::OutputHead;
use crate::traits::CausalLm;

/// Computes the log-probability of every completion token of the batch, in nats.
///
/// # Shapes
/// `hidden: [completion tokens, width]`, the states at [`DeviceBatch::sources`]
/// ([`Backbone::hidden_at`](crate::Backbone::hidden_at)); result `[completion tokens]`, sequence after
/// sequence.
///
/// # Panics
/// Panics if the number of rows of `hidden` differs from the number of completion tokens.
pub fn token_logps(hidden: Tensor<2>, head: OutputHead, batch: &DeviceBatch) -> Tensor<1> {
    let targets = targets_of(&hidden, batch);
    head.selected_logp(hidden, targets)
}

/// Computes [`token_logps`] and the entropy of the distribution that predicts each token.
///
/// # Shapes
/// As [`token_logps`]; both results `[completion tokens]`, in nats.
///
/// # Panics
/// As [`token_logps`].
pub fn token_logps_entropy(
    hidden: Tensor<2>,
    head: OutputHead,
    batch: &DeviceBatch,
) -> (Tensor<1>, Tensor<1>) {
    let targets = targets_of(&hidden, batch);
    head.selected_logp_entropy(hidden, targets)
}

fn targets_of(hidden: &Tensor<2>, batch: &DeviceBatch) -> Tensor<1, Int> {
    let targets = batch.targets();
    assert_eq!(
        hidden.dims()[0],
        targets.dims()[0],
        "a hidden state for each completion token: hidden_at(batch, &batch.sources(), …)"
    );
    targets
}

/// Sums token values over each sequence.
///
/// # Shapes
/// `values: [completion tokens]`, ordered as by [`token_logps`]; result `[sequences]`.
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

/// Computes the summed log-probability of each completion, log π(y|x), in nats.
///
/// # Shapes
/// Result `[sequences]`.
pub fn completion_logps<M: CausalLm>(model: &M, batch: &DeviceBatch, f: Forward) -> Tensor<1> {
    let hidden = model.hidden_at(batch, &batch.sources(), f);
    let values = token_logps(hidden, model.output_head(), batch);
    sum_by_sequence(values, batch)
}
