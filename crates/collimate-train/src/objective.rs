//! What is trained.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;
use collimate_core::Key;

use crate::TrainError;

/// Data and loss, for one type of module.
///
/// [`fit`](crate::fit) draws batches of example indices, cuts them into micro-batches by
/// [`tokens`](Objective::tokens), and asks for the loss sum of each.
pub trait Objective {
    /// What is trained.
    type Model: Module;

    /// Number of training examples.
    fn len(&self) -> usize;

    /// True if there is nothing to train on.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What an example costs, in tokens.
    fn tokens(&self, example: usize) -> usize;

    /// What the loss sums of an optimiser step over these examples are divided by: the number of
    /// pairs, or of completion tokens. Additive over examples, so that micro-batches do not
    /// change the result.
    fn weight(&self, examples: &[usize]) -> f64;

    /// Called once before the micro-batches of an optimiser step, with all its examples: for what
    /// a loss needs to know of the whole batch.
    ///
    /// # Errors
    /// Where the examples cannot be processed.
    fn begin_step(&self, model: &Self::Model, examples: &[usize]) -> Result<(), TrainError> {
        let _ = (model, examples);
        Ok(())
    }

    /// A hash of the data and options that decide what is learnt, in the order of the examples. A fit
    /// that resumes is refused where the fingerprint is another one; an empty text is not compared.
    fn fingerprint(&self) -> String {
        String::new()
    }

    /// The loss of a micro-batch, summed, tracked.
    ///
    /// `key` belongs to the step, not to the micro-batch. A draw for an example depends on the key
    /// and the example alone (`key.with(example as u64)`, or `of_examples` of a packed batch of
    /// `collimate-nn` for dropout masks), so that micro-batches do not change it.
    ///
    /// # Errors
    /// Where the examples cannot be processed; see [`TrainError::objective`].
    fn forward(
        &self,
        model: &Self::Model,
        examples: &[usize],
        key: Key,
    ) -> Result<Forwarded, TrainError>;

    /// Metrics on held-out data; `model` is untracked.
    ///
    /// # Errors
    /// Where the held-out data cannot be processed.
    fn evaluate(&self, model: &Self::Model) -> Result<Option<Evaluation>, TrainError> {
        let _ = model;
        Ok(None)
    }
}

/// What comes out of a micro-batch.
#[derive(Debug, Clone)]
pub struct Forwarded {
    /// The loss, summed over the micro-batch, `[1]`, tracked.
    pub loss_sum: Tensor<1>,
    /// `(name, sum, weight)`: logged as Σ sum / Σ weight over the step's micro-batches.
    pub metrics: Vec<(&'static str, f64, f64)>,
    /// Tokens processed.
    pub tokens: usize,
}

/// What comes out of an evaluation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// Logged with the prefix `eval_`.
    pub metrics: BTreeMap<String, f64>,
    /// Decides which model is the best; larger is better.
    pub score: f64,
}
