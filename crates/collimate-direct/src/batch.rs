//! A direct alignment loss on a batch of pairs.

use burn::tensor::{Device, Tensor, TensorData};
use collimate_data::TokenizedPair;
use collimate_losses::{DirectLoss, ImplicitRewards, LossError, PairLogps};
use collimate_nn::{CausalLm, DeviceBatch, Forward, Pack, completion_logps};

use crate::DirectError;
use crate::logps::{PairLogp, push, targets, to_device};

/// What a direct alignment loss says of a batch of pairs, `[pairs]` each.
#[derive(Debug, Clone)]
pub struct DirectLosses {
    /// The loss of each pair; tracked where the model is.
    pub loss: Tensor<1>,
    /// The loss's implicit rewards, without gradient.
    pub rewards: ImplicitRewards,
    /// log π(y|x) of the chosen and of the rejected completions, in nats, without gradient.
    pub logps: [Tensor<1>; 2],
    /// Tokens processed.
    pub tokens: usize,
}

/// The loss of every pair of a batch, in one pack. `reference` holds the reference's
/// log-probabilities of the same pairs ([`Reference::batch_logps`](crate::Reference::batch_logps)).
///
/// # Errors
/// A pair that the model cannot take, counted within the batch; what the loss refuses, a missing
/// reference among it; reference log-probabilities of another number of pairs.
pub fn direct_losses<M: CausalLm>(
    model: &M,
    pairs: &[&TokenizedPair],
    loss: &impl DirectLoss,
    reference: Option<&[PairLogp]>,
    f: Forward,
) -> Result<DirectLosses, DirectError> {
    let batch =
        to_device(pack(pairs), model).map_err(|source| DirectError::pair("training", source))?;
    losses_of(model, &batch, pairs, loss, reference, f, |logps| {
        loss.forward(logps)
    })
}

/// As [`direct_losses`], of pairs that are packed already; `losses` gives the loss of each pair.
pub(crate) fn losses_of<M: CausalLm>(
    model: &M,
    batch: &DeviceBatch,
    pairs: &[&TokenizedPair],
    loss: &impl DirectLoss,
    reference: Option<&[PairLogp]>,
    f: Forward,
    losses: impl FnOnce(&PairLogps) -> Result<Tensor<1>, LossError>,
) -> Result<DirectLosses, DirectError> {
    let policy = sides(completion_logps(model, batch, f));
    let values = policy.clone().map(Tensor::detach);
    let reference = reference.map(|logps| columns(logps, &model.device()));
    let logps = gather(policy, reference, pairs);
    Ok(DirectLosses {
        loss: losses(&logps)?,
        rewards: loss.implicit_rewards(&logps)?,
        logps: values,
        tokens: batch.tokens(),
    })
}

/// Log-probabilities of packed pairs, on the host.
pub(crate) fn policy_logps<M: CausalLm>(
    model: &M,
    batch: &DeviceBatch,
    f: Forward,
) -> Vec<PairLogp> {
    let values = completion_logps(model, batch, f).detach().into_data();
    let values: Vec<f32> = values.iter().collect();
    let pair = |pair: &[f32]| PairLogp {
        chosen: pair[0],
        rejected: pair[1],
    };
    values.chunks_exact(2).map(pair).collect()
}

pub(crate) fn pack(pairs: &[&TokenizedPair]) -> Pack {
    let mut pack = Pack::new();
    for pair in pairs {
        push(&mut pack, pair);
    }
    pack
}

/// What a loss is computed from.
pub(crate) fn gather(
    policy: [Tensor<1>; 2],
    reference: Option<[Tensor<1>; 2]>,
    pairs: &[&TokenizedPair],
) -> PairLogps {
    let [chosen, rejected] = policy;
    let count = |completion: fn(&TokenizedPair) -> &[u32]| {
        let tokens = pairs.iter().map(|p| targets(&p.prompt, completion(p)));
        tokens.collect::<Vec<usize>>()
    };
    let logps =
        PairLogps::new(chosen, rejected).with_tokens(count(|p| &p.chosen), count(|p| &p.rejected));
    match reference {
        Some([chosen, rejected]) => logps.with_reference(chosen, rejected),
        None => logps,
    }
}

/// Chosen and rejected on a device.
pub(crate) fn columns(logps: &[PairLogp], device: &Device) -> [Tensor<1>; 2] {
    let column = |side: fn(&PairLogp) -> f32| {
        let values: Vec<f32> = logps.iter().map(side).collect();
        let n = values.len();
        Tensor::from_data(TensorData::new(values, [n]), device)
    };
    [column(|l| l.chosen), column(|l| l.rejected)]
}

/// Chosen and rejected from one tensor that holds them in turn.
fn sides(both: Tensor<1>) -> [Tensor<1>; 2] {
    let n = both.dims()[0] / 2;
    let both = both.reshape([n, 2]);
    let side = |index| both.clone().narrow(1, index, 1).reshape([n]);
    [side(0), side(1)]
}
