//! An objective with a clock, for training loops.

use std::cell::RefCell;
use std::time::Instant;

use collimate::core::Key;
use collimate::train::{Evaluation, Forwarded, Objective, TrainError};

/// An objective that records the time at which each optimiser step began.
#[derive(Debug)]
pub(crate) struct Timed<O> {
    inner: O,
    begun: RefCell<Vec<Instant>>,
}

impl<O> Timed<O> {
    pub(crate) fn new(inner: O) -> Self {
        Self {
            inner,
            begun: RefCell::default(),
        }
    }

    /// Returns the seconds from the start of step `first` (counted from 0) until now.
    pub(crate) fn seconds_from(&self, first: usize) -> f64 {
        self.begun.borrow()[first].elapsed().as_secs_f64()
    }
}

impl<O: Objective> Objective for Timed<O> {
    type Model = O::Model;

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn tokens(&self, example: usize) -> usize {
        self.inner.tokens(example)
    }

    fn weight(&self, examples: &[usize]) -> f64 {
        self.inner.weight(examples)
    }

    fn begin_step(&self, model: &Self::Model, examples: &[usize]) -> Result<(), TrainError> {
        self.begun.borrow_mut().push(Instant::now());
        self.inner.begin_step(model, examples)
    }

    fn fingerprint(&self) -> String {
        self.inner.fingerprint()
    }

    fn forward(
        &self,
        model: &Self::Model,
        examples: &[usize],
        key: Key,
    ) -> Result<Forwarded, TrainError> {
        self.inner.forward(model, examples, key)
    }

    fn evaluate(&self, model: &Self::Model) -> Result<Option<Evaluation>, TrainError> {
        self.inner.evaluate(model)
    }
}
