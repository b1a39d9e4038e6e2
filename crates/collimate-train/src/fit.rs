//! Training from start to end.

use std::collections::BTreeMap;

use burn::module::Module;

use crate::running::Run;
use crate::{FitContext, Objective, TrainConfig, TrainError};

/// The best evaluated model.
#[derive(Debug, Clone)]
pub struct Best<M> {
    /// After which step.
    pub step: u64,
    /// Its score.
    pub score: f64,
    /// The model, untracked.
    pub model: M,
}

/// A finished fit.
#[derive(Debug, Clone)]
pub struct Fitted<M> {
    /// The model after the last step, untracked.
    pub model: M,
    /// The best model, where `keep_best` is set and something was evaluated.
    pub best: Option<Best<M>>,
    /// Optimiser steps done, over all starts of this stage.
    pub steps: u64,
    /// Tokens processed.
    pub tokens: u64,
    /// Seconds spent.
    pub seconds: f64,
    /// Metrics of the last step and of the last evaluation (`eval_…`).
    pub metrics: BTreeMap<String, f64>,
}

impl<M> Fitted<M> {
    /// The best model where there is one, else the last.
    pub fn into_best(self) -> M {
        match self.best {
            Some(best) => best.model,
            None => self.model,
        }
    }
}

/// Trains `model`, or goes on from the last checkpoint of this stage.
///
/// ```text
/// g = Σ over micro-batches ∇ (loss_sum / weight(batch));  g ← g · min(1, max_grad_norm / (‖g‖ + 1e-6))
/// θ ← AdamW(θ, g, learning rate of the step)
/// ```
///
/// The model may come tracked or untracked; parameters that do not require gradients stay as they
/// are and are not saved (their hash is: a resumed fit refuses another base model). It refuses other
/// training data too, where the objective has a [`fingerprint`](Objective::fingerprint). A killed fit
/// that is started again with the same arguments ends with the same bytes as one that was not.
/// Modules with running statistics (batch norm) are not supported: the statistics are not saved.
///
/// # Errors
/// Options out of range, a loss or gradient norm that is not finite, files that cannot be read or
/// written, a checkpoint of another configuration, an interrupt, or what the objective says.
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
