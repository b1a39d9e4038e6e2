//! Direct alignment on pairs.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use collimate_core::{Key, metric_names as names};
use collimate_data::TokenizedPair;
use collimate_losses::{DirectLoss, ImplicitRewards, PairLogps, ReferenceNeed};
use collimate_nn::{CausalLm, Forward, Pack, completion_logps};
use collimate_train::{Evaluation, Forwarded, Objective, TrainError};

use crate::logps::{PairLogp, cost, pair_logps, push, targets, to_device};
use crate::{DirectError, Reference};

/// A direct alignment loss on pairs, averaged over the pairs of the optimiser step.
///
/// A pair's prompt is processed once. Logged per step, as TRL's users know them:
/// `rewards/chosen`, `rewards/rejected`, `rewards/margins`, `rewards/accuracies` (of the loss's
/// implicit rewards; a tie counts one half), `logps/chosen`, `logps/rejected` (sums, in nats).
/// Held-out pairs give the same with `loss`.
///
/// # Differs from
/// TRL logs `logits/…` and `entropy` too: logits never exist here as a whole.
#[derive(Debug, Clone)]
pub struct DirectObjective<M, L> {
    train: Vec<TokenizedPair>,
    held_out: Vec<TokenizedPair>,
    loss: L,
    reference: Reference<M>,
    evaluation_tokens: usize,
}

impl<M: CausalLm, L: DirectLoss> DirectObjective<M, L> {
    /// Trains on `train` and evaluates on `held_out` (which may be empty), in packs of about
    /// `evaluation_tokens` tokens. A reference model is kept untracked.
    ///
    /// # Errors
    /// Options of the loss out of range, a reference that is missing or of other data, a pair
    /// with a completion without tokens.
    pub fn new(
        train: Vec<TokenizedPair>,
        held_out: Vec<TokenizedPair>,
        loss: L,
        reference: Reference<M>,
        evaluation_tokens: usize,
    ) -> Result<Self, DirectError> {
        loss.check()?;
        reference.check(&loss, train.len(), held_out.len())?;
        for (part, pairs) in [("training", &train), ("held-out", &held_out)] {
            let empty = |p: &TokenizedPair| {
                targets(&p.prompt, &p.chosen) == 0 || targets(&p.prompt, &p.rejected) == 0
            };
            if let Some(pair) = pairs.iter().position(empty) {
                return Err(DirectError::EmptyCompletion { part, pair });
            }
        }
        let reference = match reference {
            // Nothing would look at it.
            _ if loss.reference_need() == ReferenceNeed::None => Reference::None,
            Reference::Model(model) => Reference::Model(model.valid()),
            other => other,
        };
        Ok(Self {
            train,
            held_out,
            loss,
            reference,
            evaluation_tokens: evaluation_tokens.max(1),
        })
    }

    fn logps(
        &self,
        policy: [Tensor<1>; 2],
        reference: Option<[Tensor<1>; 2]>,
        pairs: &[&TokenizedPair],
    ) -> PairLogps {
        let [chosen, rejected] = policy;
        let count = |completion: fn(&TokenizedPair) -> &[u32]| {
            let tokens = pairs.iter().map(|p| targets(&p.prompt, completion(p)));
            tokens.collect::<Vec<usize>>()
        };
        let logps = PairLogps::new(chosen, rejected)
            .with_tokens(count(|p| &p.chosen), count(|p| &p.rejected));
        match reference {
            Some([chosen, rejected]) => logps.with_reference(chosen, rejected),
            None => logps,
        }
    }
}

/// Chosen and rejected from one tensor that holds them in turn.
fn sides(both: Tensor<1>) -> [Tensor<1>; 2] {
    let n = both.dims()[0] / 2;
    let both = both.reshape([n, 2]);
    let side = |index| both.clone().narrow(1, index, 1).reshape([n]);
    [side(0), side(1)]
}

fn host(tensor: Tensor<1>) -> Vec<f64> {
    tensor.detach().into_data().iter().collect()
}

/// Sums over pairs of what is logged.
fn sums(rewards: ImplicitRewards, logps: [Vec<f64>; 2]) -> [(&'static str, f64); 6] {
    let (chosen, rejected) = (host(rewards.chosen), host(rewards.rejected));
    let right = chosen.iter().zip(&rejected).map(|(c, r)| {
        if c > r {
            1.0
        } else if c == r {
            0.5
        } else {
            0.0
        }
    });
    let right: f64 = right.sum();
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    [
        (names::REWARDS_CHOSEN, sum(&chosen)),
        (names::REWARDS_REJECTED, sum(&rejected)),
        (names::REWARDS_MARGINS, sum(&chosen) - sum(&rejected)),
        (names::REWARDS_ACCURACIES, right),
        (names::LOGPS_CHOSEN, sum(&logps[0])),
        (names::LOGPS_REJECTED, sum(&logps[1])),
    ]
}

impl<M: CausalLm, L: DirectLoss> Objective for DirectObjective<M, L> {
    type Model = M;

    fn len(&self) -> usize {
        self.train.len()
    }

    fn tokens(&self, example: usize) -> usize {
        cost(&self.train[example])
    }

    fn weight(&self, examples: &[usize]) -> f64 {
        examples.len() as f64
    }

    fn forward(&self, model: &M, examples: &[usize], key: Key) -> Result<Forwarded, TrainError> {
        let pairs: Vec<&TokenizedPair> = examples.iter().map(|&i| &self.train[i]).collect();
        let mut pack = Pack::new();
        for pair in &pairs {
            push(&mut pack, pair);
        }
        let named = |error| match error {
            DirectError::Pair { part, pair, source } => DirectError::Pair {
                part,
                pair: examples[pair],
                source,
            },
            other => other,
        };
        let reference = self
            .reference
            .train_logps(model, &pack, examples)
            .map_err(named)?;
        let batch = to_device(pack, model).map_err(|e| named(DirectError::pair("training", e)))?;
        let key = key.with(examples.first().map_or(0, |&i| i as u64));
        let policy = sides(completion_logps(model, &batch, Forward::train(key)));
        let values = policy.clone().map(host);
        let logps = self.logps(policy, reference.map(sides), &pairs);
        let loss = self.loss.forward(&logps).map_err(TrainError::objective)?;
        let rewards = self
            .loss
            .implicit_rewards(&logps)
            .map_err(TrainError::objective)?;
        let weight = examples.len() as f64;
        Ok(Forwarded {
            loss_sum: loss.sum(),
            metrics: sums(rewards, values)
                .into_iter()
                .map(|(name, sum)| (name, sum, weight))
                .collect(),
            tokens: batch.tokens(),
        })
    }

    fn evaluate(&self, model: &M) -> Result<Option<Evaluation>, TrainError> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        let (pairs, tokens) = (&self.held_out, self.evaluation_tokens);
        let reference = self.reference.held_out_logps(model, pairs, tokens)?;
        let policy = pair_logps(model, pairs, Forward::EVAL, tokens, |_, _| {})
            .map_err(|source| DirectError::pair("held-out", source))?;
        let device = model.device();
        let columns = |logps: &[PairLogp]| {
            let column = |side: fn(&PairLogp) -> f32| {
                let values: Vec<f32> = logps.iter().map(side).collect();
                let n = values.len();
                Tensor::<1>::from_data(TensorData::new(values, [n]), &device)
            };
            [column(|l| l.chosen), column(|l| l.rejected)]
        };
        let values = columns(&policy).map(host);
        let all: Vec<&TokenizedPair> = pairs.iter().collect();
        let logps = self.logps(columns(&policy), reference.as_deref().map(columns), &all);
        let loss = self.loss.forward(&logps).map_err(TrainError::objective)?;
        let rewards = self
            .loss
            .implicit_rewards(&logps)
            .map_err(TrainError::objective)?;
        let n = pairs.len() as f64;
        let loss = host(loss).iter().sum::<f64>() / n;
        let mut metrics: BTreeMap<String, f64> = sums(rewards, values)
            .into_iter()
            .map(|(name, sum)| (name.to_owned(), sum / n))
            .collect();
        metrics.insert(names::LOSS.to_owned(), loss);
        Ok(Some(Evaluation {
            metrics,
            score: -loss,
        }))
    }
}
