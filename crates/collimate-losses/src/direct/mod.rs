//! Direct alignment losses, one file each.

use burn::tensor::Tensor;

use crate::numeric::log_sigmoid;
use crate::{LossError, PairLogps};

mod anchored;
mod any;
mod aot;
mod apo;
mod bco;
mod discopop;
mod dpo;
mod dpo_norm;
mod exo;
mod formula;
mod ipo;
mod nca;
mod orpo;
mod rdpo;
mod simpo;
mod slic;
mod spin;
mod sppo;

pub use anchored::Anchored;
pub use any::PreferenceLoss;
pub use aot::{Aot, AotPairing};
pub use apo::{ApoDown, ApoZero};
pub use bco::{Bco, BcoShift, bco_shift};
pub use discopop::DiscoPop;
pub use dpo::Dpo;
pub use dpo_norm::DpoNorm;
pub use exo::Exo;
pub use formula::FORMULA_SYMBOLS;
pub use ipo::{Ipo, IpoNormalization};
pub use nca::Nca;
pub use orpo::Orpo;
pub use rdpo::RobustDpo;
pub use simpo::SimPo;
pub use slic::{SlicHf, SlicReference};
pub use spin::Spin;
pub use sppo::Sppo;

/// Need of a loss for a reference model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceNeed {
    /// The loss compares with a reference: [`PairLogps::with_reference`] must be called.
    Required,
    /// The loss has no reference; a reference that is given is ignored.
    None,
}

/// Implicit rewards of a batch of pairs, `[batch]` each, without gradient.
#[derive(Debug, Clone)]
pub struct ImplicitRewards {
    /// Rewards of the chosen completions.
    pub chosen: Tensor<1>,
    /// Rewards of the rejected completions.
    pub rejected: Tensor<1>,
}

/// A loss over the log-probabilities of preference pairs.
///
/// Implement this trait for your own loss: the trainer of `collimate-direct` takes any.
pub trait DirectLoss: std::fmt::Debug + Send + Sync {
    /// Returns the name, as in configurations and messages.
    fn name(&self) -> &'static str;

    /// Checks every option against its range.
    ///
    /// # Errors
    /// Returns [`LossError::OutOfRange`] or [`LossError::Conflict`].
    fn check(&self) -> Result<(), LossError>;

    /// Returns the loss's need for a reference model.
    fn reference_need(&self) -> ReferenceNeed {
        ReferenceNeed::Required
    }

    /// Returns true if the loss of a pair depends on the other pairs of the batch. The trainer then
    /// computes the log-probabilities of the whole optimiser step before it trains on a micro-batch.
    fn across_pairs(&self) -> bool {
        false
    }

    /// Returns true if the loss subtracts a margin of each pair from the difference of the rewards
    /// ([`PairLogps::with_margins`]). Other losses ignore margins.
    fn takes_margins(&self) -> bool {
        false
    }

    /// Returns true if row i of the loss belongs to pair i, so that a weight of the pair can multiply
    /// it.
    fn takes_weights(&self) -> bool {
        true
    }

    /// Returns true if the loss already has a likelihood term; [`Anchored`] then refuses to add a
    /// second one.
    fn has_likelihood(&self) -> bool {
        false
    }

    /// Returns the weight α of an [`Anchored`] loss; 0 for others. The trainer logs the likelihood
    /// if the weight is above 0.
    fn nll_anchor(&self) -> f64 {
        0.0
    }

    /// Computes the loss of each pair.
    ///
    /// # Shapes
    /// Returns `[batch]`, unreduced.
    ///
    /// # Errors
    /// Returns an error for an option out of range, for tensors that differ in length, and for a
    /// missing reference or missing token counts that the loss needs.
    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError>;

    /// Computes the implicit rewards of the completions from the policy's log-probabilities, for
    /// metrics.
    ///
    /// # Shapes
    /// `[batch]` each, detached.
    ///
    /// # Errors
    /// Returns the errors of [`DirectLoss::forward`].
    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError>;
}

/// Returns β·lr of both completions, detached: the implicit reward of the losses with a reference.
fn scaled_log_ratios(
    loss: &'static str,
    beta: f64,
    logps: &PairLogps,
) -> Result<ImplicitRewards, LossError> {
    let (chosen, rejected) = logps.log_ratios(loss)?;
    Ok(ImplicitRewards {
        chosen: chosen.detach().mul_scalar(beta),
        rejected: rejected.detach().mul_scalar(beta),
    })
}

/// Computes −log σ(x).
fn logistic(x: Tensor<1>) -> Tensor<1> {
    log_sigmoid(x).neg()
}

/// Computes −(1 − ε) log σ(x) − ε log σ(−x).
fn smoothed_logistic(x: Tensor<1>, label_smoothing: f64) -> Tensor<1> {
    if label_smoothing == 0.0 {
        return logistic(x);
    }
    logistic(x.clone()).mul_scalar(1.0 - label_smoothing)
        + logistic(x.neg()).mul_scalar(label_smoothing)
}
