//! State of an optimiser step that comes in micro-batches, for losses that look across pairs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use burn::tensor::{Device, Tensor, TensorData};
use collimate_data::TokenizedPair;
use collimate_losses::{DirectLoss, LossError, PairLogps};

use crate::DirectError;
use crate::batch::{columns, gather};
use crate::logps::PairLogp;

/// Loss of a pair within its step, and its derivatives with respect to the pair's
/// log-probabilities.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    loss: f32,
    chosen: f32,
    rejected: f32,
}

/// Results that the first micro-batch of a step computes for all of them.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// Examples of the step.
    pub(crate) examples: Vec<usize>,
    /// Losses and derivatives by example; computed on first use.
    pub(crate) held: Option<Arc<HashMap<usize, Held>>>,
}

/// The current step. A clone of an objective has its own step.
#[derive(Debug, Default)]
pub(crate) struct CurrentStep(Mutex<Step>);

impl CurrentStep {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Step> {
        self.0.lock().unwrap_or_else(|error| error.into_inner())
    }
}

impl Clone for CurrentStep {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Computes loss and derivatives of every pair, from the log-probabilities of the whole step.
///
/// ```text
/// L(step) = Σ_i loss_i(log π of all pairs),   g_i = ∂L / ∂ log π_i
/// ```
pub(crate) fn hold(
    loss: &impl DirectLoss,
    examples: &[usize],
    pairs: &[&TokenizedPair],
    policy: &[PairLogp],
    reference: Option<&[PairLogp]>,
    device: &Device,
) -> Result<HashMap<usize, Held>, DirectError> {
    let policy = columns(policy, device).map(Tensor::require_grad);
    let reference = reference.map(|logps| columns(logps, device));
    let losses = loss.forward(&gather(policy.clone(), reference, pairs))?;
    let grads = losses.clone().sum().backward();
    let [chosen, rejected] = policy.map(|side| -> Vec<f32> {
        match side.grad(&grads) {
            Some(grad) => grad.into_data().iter::<f32>().collect(),
            None => vec![0.0; pairs.len()],
        }
    });
    let losses = losses.detach().into_data();
    let rows = losses.iter::<f32>().zip(chosen.into_iter().zip(rejected));
    let held = rows.map(|(loss, (chosen, rejected))| Held {
        loss,
        chosen,
        rejected,
    });
    Ok(examples.iter().copied().zip(held).collect())
}

/// Returns the losses of a micro-batch, with the values and gradients that the whole step gives.
///
/// ```text
/// loss_i + Σ g_i (log π_i − its value)
/// ```
pub(crate) fn losses(logps: &PairLogps, held: &[Held]) -> Result<Tensor<1>, LossError> {
    let (chosen, rejected) = logps.policy();
    let column = |value: fn(&Held) -> f32| {
        let values: Vec<f32> = held.iter().map(value).collect();
        let data = TensorData::new(values, [held.len()]).convert_dtype(chosen.dtype());
        Tensor::from_data(data, (&chosen.device(), chosen.dtype()))
    };
    let moved = |side: &Tensor<1>| side.clone() - side.clone().detach();
    Ok(column(|h| h.loss)
        + moved(&chosen) * column(|h| h.chosen)
        + moved(&rejected) * column(|h| h.rejected))
}
