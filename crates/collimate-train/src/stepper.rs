//! Optimiser steps, for `fit` and for loops that are not passes over a data set.

use std::collections::{BTreeMap, HashMap};

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use crate::optimizer::Optimizer;
use crate::params::{self, Stored};
use crate::{AdamWConfig, TrainError};

/// AdamW with its state, and the gradients of the step in progress.
///
/// Use it in loops that define a step themselves; [`fit`](crate::fit) is the loop over a data set.
///
/// ```text
/// g = Σ ∇ loss over the calls of backward;  θ ← AdamW(θ, g · scale, learning rate of the path)
/// ```
#[derive(Debug, Default)]
pub struct Stepper {
    pub(crate) optimizer: Optimizer,
    grads: BTreeMap<String, Tensor<1>>,
}

impl Stepper {
    /// Creates a stepper that has made no step.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the gradient of a loss, `[1]`, that depends on parameters of `model`.
    ///
    /// # Errors
    /// The loss depends on no trained parameter.
    pub fn backward<M: Module>(&mut self, model: &M, loss: Tensor<1>) -> Result<(), TrainError> {
        if !loss.is_tracked() {
            return Err(untracked());
        }
        params::accumulate(model, loss.backward(), &mut self.grads);
        Ok(())
    }

    /// Returns the global norm of the gradients added so far.
    pub fn gradient_norm(&self) -> f64 {
        collimate_ops::gradient_norm(self.grads.values().cloned())
    }

    /// Discards the gradients added so far.
    pub fn discard(&mut self) {
        self.grads.clear();
    }

    /// Makes one step with the gradients added so far, each multiplied by `scale`
    /// ([`clip_factor`]), and then discards the gradients. `learning_rate` maps the path of each
    /// parameter to a learning rate.
    #[must_use]
    pub fn apply<M: Module>(
        &mut self,
        model: M,
        scale: f64,
        learning_rate: &dyn Fn(&str) -> f64,
        config: &AdamWConfig,
    ) -> M {
        let grads = std::mem::take(&mut self.grads);
        self.optimizer
            .step(model, grads, scale, learning_rate, config)
    }

    pub(crate) fn restore(
        moments: HashMap<String, TensorData>,
        steps: &BTreeMap<String, u64>,
        params: &BTreeMap<String, Stored>,
    ) -> Result<Self, String> {
        Ok(Self {
            optimizer: Optimizer::restore(moments, steps, params)?,
            grads: BTreeMap::new(),
        })
    }
}

/// Returns the factor that scales gradients of global norm `norm` to at most `max`.
///
/// ```text
/// min(1, max / (norm + 1e-6))
/// ```
pub fn clip_factor(norm: f64, max: Option<f64>) -> f64 {
    max.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0))
}

pub(crate) fn untracked() -> TrainError {
    TrainError::objective("the loss does not depend on a trained parameter")
}
