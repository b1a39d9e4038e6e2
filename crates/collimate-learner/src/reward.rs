//! Training of reward models in Burn's Learner.

use burn::tensor::Tensor;
use collimate_data::TokenizedPair;
use collimate_losses::{PairTerms, PairwiseLoss};
use collimate_nn::{Backbone, Forward};
use collimate_reward::{RewardModel, pair_batch, reward_losses};

use crate::task::{check_sequences, weighted};
use crate::{LearnerError, PairOutput, Task};

/// Task with the pairwise loss of a reward model: the loss of
/// [`RewardObjective`](collimate_reward::RewardObjective), averaged over the batch's pairs
/// by their weights.
#[derive(Debug, Clone)]
pub struct RewardTask {
    loss: PairwiseLoss,
}

impl RewardTask {
    /// Makes a task with this loss.
    ///
    /// # Errors
    /// Returns an error for loss options out of range.
    pub fn new(loss: PairwiseLoss) -> Result<Self, LearnerError> {
        loss.check()?;
        Ok(Self { loss })
    }
}

impl<B: Backbone> Task<RewardModel<B>> for RewardTask {
    type Item = TokenizedPair;
    type Output = PairOutput;

    fn check_item(&self, model: &RewardModel<B>, item: &TokenizedPair) -> Result<(), LearnerError> {
        if item.chosen.is_empty() || item.rejected.is_empty() {
            return Err(LearnerError::EmptyCompletion { item: 0 });
        }
        let answers = [item.chosen.as_slice(), &item.rejected];
        check_sequences(&model.backbone, &item.prompt, &answers)
    }

    fn forward(
        &self,
        model: &RewardModel<B>,
        items: &[TokenizedPair],
        f: Forward,
    ) -> Result<PairOutput, LearnerError> {
        let batch = pair_batch(items, &model.backbone).map_err(|source| LearnerError::Item {
            item: source.sequence() / 2,
            source,
        })?;
        let margins = items.iter().any(|pair| pair.margin.is_some());
        let margins = margins.then(|| {
            let margins: Vec<f32> = items.iter().map(|p| p.margin.unwrap_or(0.0)).collect();
            Tensor::from_data(margins.as_slice(), &model.backbone.device())
        });
        let terms = PairTerms {
            margins,
            targets: None,
        };
        let out = reward_losses(model, &batch, &self.loss, terms, f)?;
        let weights: Vec<f32> = items.iter().map(TokenizedPair::weight_or_one).collect();
        Ok(PairOutput {
            loss: weighted(out.loss, &weights),
            chosen_rewards: out.chosen,
            rejected_rewards: out.rejected,
        })
    }
}
