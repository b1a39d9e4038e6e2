//! Direct alignment in Burn's Learner.

use std::fmt;

use collimate_data::{RowNumbers, TokenizedPair};
use collimate_direct::{DirectError, PairLogp, Reference, check_numbers, direct_losses, targets};
use collimate_losses::{DirectLoss, ReferenceNeed};
use collimate_nn::{CausalLm, Forward};

use crate::task::{check_sequences, weighted};
use crate::{LearnerError, PairOutput, Task};

/// A pair that may carry the log-probabilities of the reference model.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferencedPair {
    /// The tokenised pair.
    pub pair: TokenizedPair,
    /// Log-probabilities of both answers under the reference model, if they were computed before
    /// ([`pair_logps`](collimate_direct::pair_logps)).
    pub reference: Option<PairLogp>,
}

impl ReferencedPair {
    /// Makes a pair with the log-probabilities of the reference model.
    pub fn new(pair: TokenizedPair, reference: PairLogp) -> Self {
        Self {
            pair,
            reference: Some(reference),
        }
    }
}

impl From<TokenizedPair> for ReferencedPair {
    fn from(pair: TokenizedPair) -> Self {
        Self {
            pair,
            reference: None,
        }
    }
}

/// Task with a direct alignment loss: the loss of
/// [`DirectObjective`](collimate_direct::DirectObjective), averaged over the batch's pairs
/// by their weights.
///
/// If every pair of a batch carries the reference model's log-probabilities, they are used.
/// Otherwise the [`Reference`] computes them for the whole batch. A reference model stays on its
/// device when Burn moves the policy.
#[derive(Clone)]
pub struct DirectTask<M, L> {
    loss: L,
    reference: Reference<M>,
}

impl<M: CausalLm, L: DirectLoss> DirectTask<M, L> {
    /// Makes a task with this loss. [`Reference::None`] is right for losses without a reference
    /// model, and if all pairs carry the reference's log-probabilities.
    ///
    /// # Errors
    /// Returns an error for loss options out of range, and for [`Reference::Logps`]. Those
    /// log-probabilities belong to pairs by position, and a Learner shuffles: put them into the
    /// [`ReferencedPair`]s instead.
    pub fn new(loss: L, reference: Reference<M>) -> Result<Self, LearnerError> {
        loss.check()?;
        if matches!(reference, Reference::Logps { .. }) {
            return Err(DirectError::PositionalReference.into());
        }
        Ok(Self {
            reference: reference.ready_for(&loss),
            loss,
        })
    }

    fn reference_logps(
        &self,
        model: &M,
        items: &[ReferencedPair],
        pairs: &[&TokenizedPair],
    ) -> Result<Option<Vec<PairLogp>>, DirectError> {
        let brought: Option<Vec<PairLogp>> = items.iter().map(|item| item.reference).collect();
        match brought {
            Some(logps) if self.loss.reference_need() == ReferenceNeed::Required => Ok(Some(logps)),
            _ => self.reference.batch_logps(model, pairs),
        }
    }
}

/// Leaves out the insides of a reference model, because Burn prints the module that it trains.
impl<M, L: fmt::Debug> fmt::Debug for DirectTask<M, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reference = match self.reference {
            Reference::None => "None",
            Reference::AdaptersOff => "AdaptersOff",
            _ => "Model",
        };
        f.debug_struct("DirectTask")
            .field("loss", &self.loss)
            .field("reference", &format_args!("{reference}"))
            .finish()
    }
}

impl<M: CausalLm, L: DirectLoss + Clone + 'static> Task<M> for DirectTask<M, L> {
    type Item = ReferencedPair;
    type Output = PairOutput;

    fn check_model(&self, model: &M) -> Result<(), LearnerError> {
        match &self.reference {
            Reference::AdaptersOff if !model.clone().has_lora() => {
                Err(DirectError::NoAdapters.into())
            }
            _ => Ok(()),
        }
    }

    fn check_item(&self, model: &M, item: &ReferencedPair) -> Result<(), LearnerError> {
        let TokenizedPair {
            prompt,
            chosen,
            rejected,
            ..
        } = &item.pair;
        if targets(prompt, chosen) == 0 || targets(prompt, rejected) == 0 {
            return Err(LearnerError::EmptyCompletion { item: 0 });
        }
        let numbers = RowNumbers {
            margin: item.pair.margin,
            weight: item.pair.weight,
        };
        check_numbers(&self.loss, numbers, 0)?;
        let needed = self.loss.reference_need() == ReferenceNeed::Required;
        match (&item.reference, &self.reference) {
            (Some(logp), _) if !(logp.chosen.is_finite() && logp.rejected.is_finite()) => {
                return Err(LearnerError::ReferenceNotFinite { item: 0 });
            }
            (None, Reference::None) if needed => {
                let loss = self.loss.name();
                return Err(DirectError::NoReference { loss }.into());
            }
            _ => {}
        }
        check_sequences(model, prompt, &[chosen, rejected])
    }

    fn forward(
        &self,
        model: &M,
        items: &[ReferencedPair],
        f: Forward,
    ) -> Result<PairOutput, LearnerError> {
        let pairs: Vec<&TokenizedPair> = items.iter().map(|item| &item.pair).collect();
        let reference = self.reference_logps(model, items, &pairs)?;
        let out = direct_losses(model, &pairs, &self.loss, reference.as_deref(), f)?;
        let weights: Vec<f32> = pairs.iter().map(|pair| pair.weight_or_one()).collect();
        Ok(PairOutput {
            loss: weighted(out.loss, &weights),
            chosen_rewards: out.rewards.chosen,
            rejected_rewards: out.rewards.rejected,
        })
    }
}
