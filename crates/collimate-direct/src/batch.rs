//! Direct alignment losses of a batch of pairs.

use burn::tensor::{Device, Tensor, TensorData};
use collimate_data::TokenizedPair;
use collimate_losses::{DirectLoss, ImplicitRewards, LossError, PairLogps};
use collimate_nn::{CausalLm, DeviceBatch, Forward, Pack, completion_logps};

use crate::DirectError;
use crate::logps::{PairLogp, push, targets, to_device};

/// Losses, implicit rewards and log-probabilities of a batch of pairs, `[pairs]` each.
#[derive(Debug, Clone)]
pub struct DirectLosses {
    /// Loss of each pair; tracked if the model is tracked.
    pub loss: Tensor<1>,
    /// Implicit rewards of the loss, without gradient.
    pub rewards: ImplicitRewards,
    /// log π(y|x) of the chosen and of the rejected completions, in nats, without gradient.
    pub logps: [Tensor<1>; 2],
    /// Number of tokens processed.
    pub tokens: usize,
}

/// Computes the loss of every pair of a batch, in one pack. `reference` holds the reference's
/// log-probabilities of the same pairs ([`Reference::batch_logps`](crate::Reference::batch_logps)).
///
/// # Errors
/// A pair that the model cannot process, counted within the batch; an error of the loss, such as a
/// missing reference; a number of reference log-probabilities that differs from the number of
/// pairs.
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

/// Same as [`direct_losses`], for pairs that are packed already; `losses` computes the loss of each
/// pair.
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

/// Returns the log-probabilities of packed pairs, on the host.
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

/// Returns the margins of pairs, 0 for pairs without one, or `None` if no pair has a margin.
fn margins(pairs: &[&TokenizedPair], like: &Tensor<1>) -> Option<Tensor<1>> {
    pairs.iter().find(|pair| pair.margin.is_some())?;
    let margins: Vec<f32> = pairs.iter().map(|p| p.margin.unwrap_or(0.0)).collect();
    let data = TensorData::new(margins, [pairs.len()]).convert_dtype(like.dtype());
    Some(Tensor::from_data(data, (&like.device(), like.dtype())))
}

/// Returns the weights of pairs, or `None` if every pair has weight 1.
pub(crate) fn weights(pairs: &[&TokenizedPair], like: &Tensor<1>) -> Option<Tensor<1>> {
    pairs.iter().find(|pair| pair.weight_or_one() != 1.0)?;
    let weights: Vec<f32> = pairs.iter().map(|p| p.weight_or_one()).collect();
    let data = TensorData::new(weights, [pairs.len()]).convert_dtype(like.dtype());
    Some(Tensor::from_data(data, (&like.device(), like.dtype())))
}

/// Collects the inputs of a loss.
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
    let margins = margins(pairs, &chosen);
    let mut logps =
        PairLogps::new(chosen, rejected).with_tokens(count(|p| &p.chosen), count(|p| &p.rejected));
    if let Some(margins) = margins {
        logps = logps.with_margins(margins);
    }
    match reference {
        Some([chosen, rejected]) => logps.with_reference(chosen, rejected),
        None => logps,
    }
}

/// Copies the chosen and the rejected log-probabilities to a device.
pub(crate) fn columns(logps: &[PairLogp], device: &Device) -> [Tensor<1>; 2] {
    let column = |side: fn(&PairLogp) -> f32| {
        let values: Vec<f32> = logps.iter().map(side).collect();
        let n = values.len();
        Tensor::from_data(TensorData::new(values, [n]), device)
    };
    [column(|l| l.chosen), column(|l| l.rejected)]
}

/// Splits a tensor of alternating chosen and rejected values.
fn sides(both: Tensor<1>) -> [Tensor<1>; 2] {
    let n = both.dims()[0] / 2;
    let both = both.reshape([n, 2]);
    let side = |index| both.clone().narrow(1, index, 1).reshape([n]);
    [side(0), side(1)]
}
