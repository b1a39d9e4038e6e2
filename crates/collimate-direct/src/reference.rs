//! Sources of the reference's log-probabilities.

use collimate_data::TokenizedPair;
use collimate_losses::{DirectLoss, ReferenceNeed};
use collimate_nn::{CausalLm, Forward};
use collimate_train::{hash_json, model_hash};

use crate::DirectError;
use crate::batch::{pack, policy_logps};
use crate::logps::{PairLogp, pair_logps, to_device};

/// The reference model of direct alignment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Reference<M> {
    /// No reference, for losses that do not compare with one.
    None,
    /// The policy with its adapters off; no second model is in memory.
    AdaptersOff,
    /// A separate model, which runs beside the policy.
    Model(M),
    /// Log-probabilities computed in advance, with [`pair_logps`] or from a file
    /// ([`load_reference_logps`](crate::load_reference_logps)). No second model is needed during
    /// training.
    Logps {
        /// Log-probabilities of the training pairs, in order.
        train: Vec<PairLogp>,
        /// Log-probabilities of the held-out pairs, in order.
        held_out: Vec<PairLogp>,
    },
}

impl<M: CausalLm> Reference<M> {
    /// Checks that loss, data and reference fit together.
    pub(crate) fn check(
        &self,
        loss: &impl DirectLoss,
        train: usize,
        held_out: usize,
    ) -> Result<(), DirectError> {
        match self {
            Self::None if loss.reference_need() == ReferenceNeed::Required => {
                Err(DirectError::NoReference { loss: loss.name() })
            }
            Self::Logps {
                train: t,
                held_out: h,
            } => {
                check_logps("training", t, train)?;
                check_logps("held-out", h, held_out)
            }
            _ => Ok(()),
        }
    }

    /// Returns the reference with its model untracked, or [`Self::None`] if `loss` does not use a
    /// reference.
    #[must_use]
    pub fn ready_for(self, loss: &impl DirectLoss) -> Self {
        match self {
            _ if loss.reference_need() == ReferenceNeed::None => Self::None,
            Self::Model(model) => Self::Model(model.valid()),
            other => other,
        }
    }

    /// Returns a text that differs between references, for the fingerprint of an objective.
    pub(crate) fn fingerprint(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::AdaptersOff => "adapters_off".to_owned(),
            Self::Model(model) => model_hash(model),
            Self::Logps { train, held_out } => {
                let bits = |logps: &[PairLogp]| -> Vec<[u32; 2]> {
                    let bits = |l: &PairLogp| [l.chosen.to_bits(), l.rejected.to_bits()];
                    logps.iter().map(bits).collect()
                };
                hash_json(&(bits(train), bits(held_out)))
            }
        }
    }

    /// Returns the reference's log-probabilities of a batch of pairs; `None` without a reference.
    ///
    /// # Errors
    /// A pair that the model cannot process, counted within the batch; a policy without adapters
    /// for [`Reference::AdaptersOff`]; [`Reference::Logps`], which knows its pairs only by
    /// position.
    pub fn batch_logps(
        &self,
        policy: &M,
        pairs: &[&TokenizedPair],
    ) -> Result<Option<Vec<PairLogp>>, DirectError> {
        match self {
            Self::None => Ok(None),
            Self::AdaptersOff => {
                let mut frozen = policy.clone().valid();
                if !frozen.has_lora() {
                    return Err(DirectError::NoAdapters);
                }
                forward(&frozen, pairs, Forward::REFERENCE).map(Some)
            }
            Self::Model(model) => forward(model, pairs, Forward::EVAL).map(Some),
            Self::Logps { .. } => Err(DirectError::PositionalReference),
        }
    }

    /// Same as [`Self::batch_logps`], for the training pairs `examples`.
    pub(crate) fn train_logps(
        &self,
        policy: &M,
        pairs: &[&TokenizedPair],
        examples: &[usize],
    ) -> Result<Option<Vec<PairLogp>>, DirectError> {
        match self {
            Self::Logps { train, .. } => Ok(Some(examples.iter().map(|&i| train[i]).collect())),
            other => other.batch_logps(policy, pairs),
        }
    }

    /// Returns the log-probabilities of the held-out pairs; `policy` is untracked.
    pub(crate) fn held_out_logps(
        &self,
        policy: &M,
        pairs: &[TokenizedPair],
        tokens_per_pack: usize,
    ) -> Result<Option<Vec<PairLogp>>, DirectError> {
        let (model, f) = match self {
            Self::None => return Ok(None),
            Self::AdaptersOff => (policy, Forward::REFERENCE),
            Self::Model(model) => (model, Forward::EVAL),
            Self::Logps { held_out, .. } => return Ok(Some(held_out.clone())),
        };
        pair_logps(model, pairs, f, tokens_per_pack)
            .map(Some)
            .map_err(|source| DirectError::pair("held-out", source))
    }
}

fn forward<M: CausalLm>(
    model: &M,
    pairs: &[&TokenizedPair],
    f: Forward,
) -> Result<Vec<PairLogp>, DirectError> {
    let batch =
        to_device(pack(pairs), model).map_err(|source| DirectError::pair("training", source))?;
    Ok(policy_logps(model, &batch, f))
}

fn check_logps(part: &'static str, logps: &[PairLogp], pairs: usize) -> Result<(), DirectError> {
    if logps.len() != pairs {
        return Err(DirectError::ReferenceCount {
            part,
            given: logps.len(),
            pairs,
        });
    }
    let bad = |l: &PairLogp| !(l.chosen.is_finite() && l.rejected.is_finite());
    match logps.iter().position(bad) {
        Some(pair) => Err(DirectError::ReferenceNotFinite { part, pair }),
        None => Ok(()),
    }
}
