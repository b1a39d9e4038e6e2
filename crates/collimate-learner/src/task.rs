//! Tasks: the losses that a model is trained with.

use std::fmt::Debug;

use burn::tensor::Tensor;
use burn_train::ItemLazy;
use burn_train::metric::{Adaptor, LossInput};
use collimate_nn::{Backbone, Forward, Pack};

use crate::LearnerError;

/// A loss on batches of items, for models of type `M`.
///
/// Implement this trait for your own objective: [`Trainee`](crate::Trainee) takes any task.
pub trait Task<M>: Debug + Clone + Send + 'static {
    /// Type of one example.
    type Item: Debug + Clone + Send + Sync + 'static;

    /// Type of the output of a batch.
    type Output: Losses;

    /// Checks that the model can do the task at all.
    ///
    /// # Errors
    /// Returns an error if the model lacks something that the task needs.
    fn check_model(&self, model: &M) -> Result<(), LearnerError> {
        let _ = model;
        Ok(())
    }

    /// Checks that the model can learn from the item.
    ///
    /// # Errors
    /// Returns the reason why the model cannot take the item, with 0 as the item's index.
    fn check_item(&self, model: &M, item: &Self::Item) -> Result<(), LearnerError>;

    /// Computes the losses of a batch; they are tracked if the model is.
    ///
    /// # Errors
    /// Returns an error for an item that [`check_item`](Task::check_item) refuses, and if the loss
    /// refuses the batch.
    fn forward(
        &self,
        model: &M,
        items: &[Self::Item],
        f: Forward,
    ) -> Result<Self::Output, LearnerError>;
}

/// Output of a step, with the losses.
pub trait Losses: ItemLazy + Adaptor<LossInput> + 'static {
    /// Returns the losses to average: one for each pair, or for each completion token.
    fn losses(&self) -> Tensor<1>;
}

/// Checks that the model can take each completion after the prompt.
pub(crate) fn check_sequences<B: Backbone>(
    model: &B,
    prompt: &[u32],
    completions: &[&[u32]],
) -> Result<(), LearnerError> {
    let mut pack = Pack::new();
    for completion in completions {
        pack.push_row(&[prompt, completion].concat());
    }
    pack.check(model.vocab_size(), model.max_positions())
        .map_err(|source| LearnerError::Item { item: 0, source })
}

/// Multiplies the loss of each pair by the weight of the pair, so that the mean over the batch is
/// Σ weight · loss / Σ weight. Weights that are all 0 leave nothing to learn.
pub(crate) fn weighted(losses: Tensor<1>, weights: &[f32]) -> Tensor<1> {
    if weights.iter().all(|weight| *weight == 1.0) {
        return losses;
    }
    let sum: f32 = weights.iter().sum();
    let scale = match sum > 0.0 {
        true => weights.len() as f32 / sum,
        false => 0.0,
    };
    let weights: Vec<f32> = weights.iter().map(|weight| weight * scale).collect();
    let device = losses.device();
    let dtype = losses.dtype();
    losses * Tensor::<1>::from_data(weights.as_slice(), &device).cast(dtype)
}
