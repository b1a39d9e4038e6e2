//! A direct alignment loss on a batch of pairs.

use burn::tensor::{Device, Tensor, TensorData};
use collimate_data::TokenizedPair;
use collimate_losses::{DirectLoss, ImplicitRewards, PairLogps};
use collimate_nn::{CausalLm, Forward, Pack, completion_logps};

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
    let policy = sides(completion_logps(model, &batch, f));
    let values = policy.clone().map(Tensor::detach);
    let reference = reference.map(|logps| columns(logps, &model.device()));
    let logps = gather(policy, reference, pairs);
    Ok(DirectLosses {
        loss: loss.forward(&logps)?,
        rewards: loss.implicit_rewards(&logps)?,
        logps: values,
        tokens: batch.tokens(),
    })
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
