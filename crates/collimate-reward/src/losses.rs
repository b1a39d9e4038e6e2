//! Pairwise losses of a batch of pairs.

use burn::tensor::Tensor;
use collimate_losses::{LossError, PairTerms, PairwiseLoss};
use collimate_nn::{Backbone, DeviceBatch, Forward};

use crate::model::RewardModel;

/// Losses and scores of a batch of pairs, `[pairs]` each.
#[derive(Debug, Clone)]
pub struct RewardLosses {
    /// Loss of each pair; tracked if the model is tracked.
    pub loss: Tensor<1>,
    /// Scores of the chosen answers, untracked.
    pub chosen: Tensor<1>,
    /// Scores of the rejected answers, untracked.
    pub rejected: Tensor<1>,
}

/// Computes the loss of every pair of a batch made by [`pair_batch`](crate::pair_batch), without the
/// weights of the pairs. `terms` are margins and soft labels of the pairs.
///
/// # Errors
/// Loss options out of range.
pub fn reward_losses<B: Backbone>(
    model: &RewardModel<B>,
    batch: &DeviceBatch,
    loss: &PairwiseLoss,
    terms: PairTerms,
    f: Forward,
) -> Result<RewardLosses, LossError> {
    let n = batch.sequences.len() / 2;
    let scores = model.score(batch, f).reshape([n, 2]);
    let chosen = scores.clone().narrow(1, 0, 1).reshape([n]);
    let rejected = scores.narrow(1, 1, 1).reshape([n]);
    Ok(RewardLosses {
        loss: loss.forward_with(chosen.clone(), rejected.clone(), terms)?,
        chosen: chosen.inner(),
        rejected: rejected.inner(),
    })
}
