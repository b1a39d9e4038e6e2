//! The pairwise loss on a batch of pairs.

use burn::tensor::Tensor;
use collimate_losses::{LossError, PairwiseLoss};
use collimate_nn::{Backbone, DeviceBatch, Forward};

use crate::model::RewardModel;

/// What the pairwise loss says of a batch of pairs, `[pairs]` each.
#[derive(Debug, Clone)]
pub struct RewardLosses {
    /// The loss of each pair; tracked where the model is.
    pub loss: Tensor<1>,
    /// Scores of the chosen answers, untracked.
    pub chosen: Tensor<1>,
    /// Scores of the rejected answers, untracked.
    pub rejected: Tensor<1>,
}

/// The loss of every pair of a batch, which comes from [`pair_batch`](crate::pair_batch). `targets`
/// `[pairs]` are probabilities that the chosen answer is the better one; without them it is.
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
