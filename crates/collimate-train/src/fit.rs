//! Training from start to end.

use std::collections::BTreeMap;

use burn::module::Module;

use crate::running::Run;
use crate::{FitContext, Objective, TrainConfig, TrainError};

/// The evaluated model with the best score.
#[derive(Debug, Clone)]
pub struct Best<M> {
    /// Number of steps after which the model was evaluated.
    pub step: u64,
    /// Score of the evaluation.
    pub score: f64,
    /// Model parameters, untracked.
    pub model: M,
}

/// Result of a finished fit.
#[derive(Debug, Clone)]
pub struct Fitted<M> {
    /// The model after the last step, untracked.
    pub model: M,
    /// Best model, if `keep_best` is set and an evaluation took place.
    pub best: Option<Best<M>>,
    /// Number of optimiser steps, over all starts of this stage.
    pub steps: u64,
    /// Number of tokens processed.
    pub tokens: u64,
    /// Training time in seconds.
    pub seconds: f64,
    /// Metrics of the last step and of the last evaluation (`eval_…`).
    pub metrics: BTreeMap<String, f64>,
}

impl<M> Fitted<M> {
    /// Returns the best model if there is one, else the last.
    pub fn into_best(self) -> M {
        match self.best {
            Some(best) => best.model,
            None => self.model,
        }
    }
}

/// Trains `model`, or continues from the last checkpoint of this stage.
///
/// ```text
/// g = Σ over micro-batches ∇ (loss_sum / weight(batch));  g ← g · min(1, max_grad_norm / (‖g‖ + 1e-6))
/// θ ← AdamW(θ, g, learning rate of the step)
/// ```
///
/// The model may be tracked or untracked. Parameters that do not require gradients are neither
/// changed nor saved. Their hash is saved, so a resumed fit refuses another base model. It also
/// refuses other training data if the objective has a [`fingerprint`](Objective::fingerprint). A
/// fit that was killed and started again with the same arguments ends with the same bytes as an
/// uninterrupted fit. Modules with running statistics (batch norm) are not supported: the
/// statistics are not saved.
///
/// # Errors
/// There are no examples or no trainable parameters, an option is out of range, a loss or gradient
/// norm is not finite, a file cannot be read or written, a checkpoint belongs to another
/// configuration, an interrupt was requested, or the objective returned an error.
pub fn fit<O: Objective>(
    model: O::Model,
    objective: &O,
    config: &TrainConfig,
    context: &FitContext<'_>,
) -> Result<Fitted<O::Model>, TrainError> {
    config.validate()?;
    let (mut run, mut model) = Run::start(model.train(), objective, config, context)?;
    let label = &config.stage;
    let mut meter = context
        .progress
        .start(label, run.state.step, run.state.total_steps);
    while !run.state.finished {
        if context.interrupt.is_set() {
            return Err(run.interrupted(&model)?);
        }
        model = run.step(model)?;
        run.conclude_step(&model)?;
        meter.set(run.state.step, &run.message());
    }
    run.finish(model)
}
