//! A model with its task, as a module for Burn's Learner.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::data::dataset::InMemDataset;
use burn::module::{Module, ModuleDisplay};
use burn_train::{InferenceStep, TrainOutput, TrainStep};
use collimate_core::Key;
use collimate_nn::Forward;

use crate::{LearnerError, Losses, Task};

/// A model with its task: the module that [`Learner::new`](burn_train::Learner::new) takes.
///
/// The step's loss is the mean of the batch's losses (per pair, or per completion token), as in an
/// optimiser step of `collimate-train` on the same examples. Validation runs untracked and without
/// dropout.
///
/// # Panics
/// `step` panics if the task refuses a batch, because Burn's steps return no errors. Items that
/// passed [`dataset`](Trainee::dataset) are not refused.
///
/// # Differs from
/// `collimate_train::fit` clips by the norm of all gradients together, divides accumulated losses
/// by the number of all pairs or tokens, and resumes from a step. Burn clips tensor by tensor (if
/// the optimiser is configured to clip), sums the gradients of accumulated batches, and resumes
/// from an epoch; dropout masks then begin again from step 0.
#[derive(Module, Debug)]
pub struct Trainee<M: Module + ModuleDisplay, T> {
    /// Model to train.
    pub model: M,
    #[module(skip)]
    task: T,
    #[module(skip)]
    key: Key,
    #[module(skip)]
    steps: Arc<AtomicU64>,
}

impl<M: Module + ModuleDisplay, T: Task<M>> Trainee<M, T> {
    /// Joins a model and its task; the model is tracked from now on. Dropout masks are drawn from
    /// `key` and the number of the step.
    ///
    /// # Errors
    /// Returns an error if the model cannot do the task.
    pub fn new(model: M, task: T, key: Key) -> Result<Self, LearnerError> {
        task.check_model(&model)?;
        Ok(Self {
            model: model.train(),
            task,
            key,
            steps: Arc::default(),
        })
    }

    /// Makes a data set for Burn's loaders after checking that the model can learn from every item.
    ///
    /// # Errors
    /// Returns an error for the first item that the model cannot take.
    pub fn dataset(
        &self,
        items: impl IntoIterator<Item = impl Into<T::Item>>,
    ) -> Result<InMemDataset<T::Item>, LearnerError> {
        let items: Vec<T::Item> = items.into_iter().map(Into::into).collect();
        for (index, item) in items.iter().enumerate() {
            self.task
                .check_item(&self.model, item)
                .map_err(|error| error.at(index))?;
        }
        Ok(InMemDataset::new(items))
    }
}

impl<M: Module + ModuleDisplay, T: Task<M>> TrainStep for Trainee<M, T> {
    type Input = Vec<T::Item>;
    type Output = T::Output;

    fn step(&self, items: Vec<T::Item>) -> TrainOutput<T::Output> {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        let f = Forward::train(self.key.step(step));
        let output = match self.task.forward(&self.model, &items, f) {
            Ok(output) => output,
            Err(error) => panic!("training batch {step}: {error}"),
        };
        let losses = output.losses();
        let count = losses.dims()[0] as f64;
        let loss = losses.sum().div_scalar(count);
        assert!(
            loss.is_tracked(),
            "the loss does not depend on a trained parameter"
        );
        TrainOutput::new(self, loss.backward(), output)
    }
}

impl<M: Module + ModuleDisplay, T: Task<M>> InferenceStep for Trainee<M, T> {
    type Input = Vec<T::Item>;
    type Output = T::Output;

    fn step(&self, items: Vec<T::Item>) -> T::Output {
        match self
            .task
            .forward(&self.model.valid(), &items, Forward::EVAL)
        {
            Ok(output) => output,
            Err(error) => panic!("validation batch: {error}"),
        }
    }
}
