//! Pairwise losses of a batch of pairs.

use burn::tensor::Tensor;
use collimate_losses::{LossError, PairwiseLoss};
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

/// Computes the loss of every pair of a batch made by [`pair_batch`](crate::pair_batch). `targets`
/// `[pairs]` are the probabilities that the chosen answer is the better one; `None` means 1 for all
/// pairs.
///
/// # Errors
/// Loss options out of range.
pub fn reward_losses<B: Backbone>(
    model: &RewardModel<B>,
    batch: &DeviceBatch,
    loss: &PairwiseLoss,
    targets: Option<Tensor<1>>,
    f: Forward,
) -> Result<RewardLosses, LossError> {
    let n = batch.sequences.len() / 2;
    let scores = model.score(batch, f).reshape([n, 2]);
    let chosen = scores.clone().narrow(1, 0, 1).reshape([n]);
    let rejected = scores.narrow(1, 1, 1).reshape([n]);
    Ok(RewardLosses {
        loss: match targets {
            Some(targets) => {
                loss.forward_with_targets(chosen.clone(), rejected.clone(), targets)?
            }
            None => loss.forward(chosen.clone(), rejected.clone())?,
        },
        chosen: chosen.inner(),
        rejected: rejected.inner(),
    })
}
