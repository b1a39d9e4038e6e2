//! Where a loss gets the reference's log-probabilities from.

use burn::tensor::Tensor;
use collimate_data::TokenizedPair;
use collimate_losses::{DirectLoss, ReferenceNeed};
use collimate_nn::{CausalLm, Forward, Pack, completion_logps};

use crate::DirectError;
use crate::logps::{PairLogp, pair_logps, to_device};

/// The reference model of direct alignment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Reference<M> {
    /// None: for losses that compare with no reference.
    None,
    /// The policy with its adapters off: no second model in memory.
    AdaptersOff,
    /// A model of its own, run beside the policy.
    Model(M),
    /// Log-probabilities computed before, with [`pair_logps`] or from a file
    /// ([`load_reference_logps`](crate::load_reference_logps)): no second model while training.
    Logps {
        /// Of the training pairs, in order.
        train: Vec<PairLogp>,
        /// Of the held-out pairs, in order.
        held_out: Vec<PairLogp>,
    },
}

impl<M: CausalLm> Reference<M> {
    /// Whether loss, data and reference fit together.
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

    /// Log-probabilities of the training pairs `examples` of a pack, `[2 · pairs]`, on the
    /// policy's device; `None` without a reference.
    pub(crate) fn train_logps(
        &self,
        policy: &M,
        pack: &Pack,
        examples: &[usize],
    ) -> Result<Option<Tensor<1>>, DirectError> {
        let values: Vec<f32> = match self {
            Self::None => return Ok(None),
            Self::AdaptersOff => {
                let mut frozen = policy.clone().valid();
                if !frozen.has_lora() {
                    return Err(DirectError::NoAdapters);
                }
                forward(&frozen, pack, Forward::REFERENCE)?
            }
            Self::Model(model) => forward(model, pack, Forward::EVAL)?,
            Self::Logps { train, .. } => examples
                .iter()
                .flat_map(|&index| [train[index].chosen, train[index].rejected])
                .collect(),
        };
        Ok(Some(Tensor::from_data(values.as_slice(), &policy.device())))
    }

    /// Log-probabilities of the held-out pairs; `policy` is untracked.
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
        pair_logps(model, pairs, f, tokens_per_pack, |_, _| {})
            .map(Some)
            .map_err(|source| DirectError::pair("held-out", source))
    }
}

fn forward<M: CausalLm>(model: &M, pack: &Pack, f: Forward) -> Result<Vec<f32>, DirectError> {
    let batch =
        to_device(pack.clone(), model).map_err(|source| DirectError::pair("training", source))?;
    Ok(completion_logps(model, &batch, f)
        .detach()
        .into_data()
        .iter()
        .collect())
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
