//! What a model is to learn.

use std::fmt::Debug;

use burn::tensor::Tensor;
use burn_train::ItemLazy;
use burn_train::metric::{Adaptor, LossInput};
use collimate_nn::{Backbone, Forward, Pack};

use crate::LearnerError;

/// A loss on batches of items, for models of type `M`.
///
/// Implement it for an objective of your own: [`Trainee`](crate::Trainee) takes any.
pub trait Task<M>: Debug + Clone + Send + 'static {
    /// One example.
    type Item: Debug + Clone + Send + Sync + 'static;

    /// What comes out of a batch.
    type Output: Losses;

    /// Whether the model can do the task at all.
    ///
    /// # Errors
    /// Something that it lacks.
    fn check_model(&self, model: &M) -> Result<(), LearnerError> {
        let _ = model;
        Ok(())
    }

    /// Whether the model can learn from the item.
    ///
    /// # Errors
    /// What is wrong with it; the item counts as item 0.
    fn check_item(&self, model: &M, item: &Self::Item) -> Result<(), LearnerError>;

    /// The losses of a batch; tracked where the model is.
    ///
    /// # Errors
    /// An item that [`check_item`](Task::check_item) refuses, or a loss that refuses the batch.
    fn forward(
        &self,
        model: &M,
        items: &[Self::Item],
        f: Forward,
    ) -> Result<Self::Output, LearnerError>;
}

/// The output of a step, from which the losses are taken.
pub trait Losses: ItemLazy + Adaptor<LossInput> + 'static {
    /// What is averaged: the loss of each pair, or of each completion token.
    fn losses(&self) -> Tensor<1>;
}

/// Whether the model can take each completion after the prompt.
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
