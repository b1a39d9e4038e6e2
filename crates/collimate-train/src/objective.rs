//! Training objective: data and loss.

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
    /// Module that is trained.
    type Model: Module;

    /// Returns the number of training examples.
    fn len(&self) -> usize;

    /// Returns true if there are no training examples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the cost of an example in tokens.
    fn tokens(&self, example: usize) -> usize;

    /// Returns the number by which the loss sums of an optimiser step over these examples are
    /// divided: the number of pairs, or of completion tokens. It must be additive over examples, so
    /// that micro-batches do not change the result.
    fn weight(&self, examples: &[usize]) -> f64;

    /// Called once before the micro-batches of an optimiser step, with all examples of the step. A
    /// loss can compute here the facts of the whole batch that it needs.
    ///
    /// # Errors
    /// The examples cannot be processed.
    fn begin_step(&self, model: &Self::Model, examples: &[usize]) -> Result<(), TrainError> {
        let _ = (model, examples);
        Ok(())
    }

    /// Returns a hash of the data, in the order of the examples, and of the options that affect
    /// training. A resumed fit is refused if the fingerprint has changed. An empty text is not
    /// compared.
    fn fingerprint(&self) -> String {
        String::new()
    }

    /// Computes the loss of a micro-batch, summed and tracked.
    ///
    /// `key` belongs to the step, not to the micro-batch. A draw for an example must depend only on
    /// the key and the example, so that micro-batches do not change it. Use
    /// `key.with(example as u64)`, or for dropout masks `of_examples` of a packed batch of
    /// `collimate-nn`.
    ///
    /// # Errors
    /// The examples cannot be processed; see [`TrainError::objective`].
    fn forward(
        &self,
        model: &Self::Model,
        examples: &[usize],
        key: Key,
    ) -> Result<Forwarded, TrainError>;

    /// Computes metrics on held-out data; `model` is untracked.
    ///
    /// # Errors
    /// The held-out data cannot be processed.
    fn evaluate(&self, model: &Self::Model) -> Result<Option<Evaluation>, TrainError> {
        let _ = model;
        Ok(None)
    }
}

/// Result of a micro-batch.
#[derive(Debug, Clone)]
pub struct Forwarded {
    /// Loss, summed over the micro-batch, `[1]`, tracked.
    pub loss_sum: Tensor<1>,
    /// Entries `(name, sum, weight)`, logged as Σ sum / Σ weight over the step's micro-batches.
    pub metrics: Vec<(&'static str, f64, f64)>,
    /// Number of tokens processed.
    pub tokens: usize,
}

/// Result of an evaluation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// Metrics, logged with the prefix `eval_`.
    pub metrics: BTreeMap<String, f64>,
    /// Score by which the best model is chosen; larger is better.
    pub score: f64,
}
