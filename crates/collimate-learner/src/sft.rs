//! Supervised fine-tuning in Burn's Learner.

use collimate_data::TokenizedExample;
use collimate_direct::{completion_nll, example_batch, targets};
use collimate_nn::{CausalLm, Forward};

use crate::task::check_sequences;
use crate::{ExampleOutput, LearnerError, Task};

/// Task of next-token prediction on completions: the loss of
/// [`SftObjective`](collimate_direct::SftObjective), averaged over the batch's completion tokens.
#[derive(Debug, Clone, Copy, Default)]
pub struct SftTask;

impl<M: CausalLm> Task<M> for SftTask {
    type Item = TokenizedExample;
    type Output = ExampleOutput;

    fn check_item(&self, model: &M, item: &TokenizedExample) -> Result<(), LearnerError> {
        if targets(&item.prompt, &item.completion) == 0 {
            return Err(LearnerError::EmptyCompletion { item: 0 });
        }
        check_sequences(model, &item.prompt, &[&item.completion])
    }

    fn forward(
        &self,
        model: &M,
        items: &[TokenizedExample],
        f: Forward,
    ) -> Result<ExampleOutput, LearnerError> {
        let batch = example_batch(items, model).map_err(|source| LearnerError::Item {
            item: source.sequence(),
            source,
        })?;
        Ok(ExampleOutput {
            loss: completion_nll(model, &batch, f),
        })
    }
}
