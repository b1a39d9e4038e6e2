//! Direct alignment on pairs.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use collimate_core::{Key, outcome};
use collimate_data::{RowNumbers, RowSource, TokenizedPair};
use collimate_losses::DirectLoss;
use collimate_nn::{CausalLm, Forward, packs};
use collimate_ops::to_host;
use collimate_train::{
    Evaluation, Forwarded, Objective, TrainError, hash_json, metric_names as names,
};

use crate::batch::{DirectLosses, columns, gather, losses_of, pack, policy_logps, weights};
use crate::logps::{cost, pair_logps, targets, to_device};
use crate::step::{CurrentStep, Held, hold, losses};
use crate::{DirectError, Reference, pairs_hash, training_hash};

/// A direct alignment loss on pairs, averaged over the pairs of the optimiser step, weighted by the
/// weight of each pair. A pair of weight 2 counts like two pairs of weight 1.
///
/// A pair's margin is subtracted from the difference of the implicit rewards, if the loss
/// [takes margins](DirectLoss::takes_margins). The logged loss of a step is
/// weighted. The other metrics are not, and neither is the evaluation of held-out pairs.
///
/// A pair's prompt is processed once. Each step logs, under TRL's names, `rewards/chosen`,
/// `rewards/rejected`, `rewards/margins`, `rewards/accuracies` (of the loss's implicit rewards; a
/// tie counts one half), `logps/chosen` and `logps/rejected` (sums, in nats). Held-out pairs give
/// the same metrics and `loss`. A loss with a likelihood anchor
/// ([`Anchored`](collimate_losses::Anchored)) also logs `nll_loss`: the mean negative
/// log-probability per token of the chosen answers, before the weight.
///
/// A loss that looks across pairs ([`DirectLoss::across_pairs`]) sees the whole optimiser step. If
/// the step comes in micro-batches, the log-probabilities of all pairs are computed first; this
/// costs one more forward pass, of a live reference too. Each micro-batch then learns with the
/// derivatives of the whole step.
///
/// # Differs from
/// TRL also logs `logits/…` and `entropy`. This crate never computes the logits as a whole.
#[derive(Debug, Clone)]
pub struct DirectObjective<M, L> {
    train: RowSource<TokenizedPair>,
    held_out: Vec<TokenizedPair>,
    loss: L,
    reference: Reference<M>,
    evaluation_tokens: usize,
    step: CurrentStep,
}

impl<M: CausalLm, L: DirectLoss> DirectObjective<M, L> {
    /// Trains on `train`, in memory or in a store on disk, and evaluates on `held_out` (which may be
    /// empty), in packs of about `evaluation_tokens` tokens. A reference model is kept untracked.
    ///
    /// # Errors
    /// Options of the loss out of range, a reference that is missing or belongs to other data, a
    /// pair with a completion without tokens, a margin or a weight for a loss that takes none, a
    /// store that cannot be read.
    pub fn new(
        train: impl Into<RowSource<TokenizedPair>>,
        held_out: Vec<TokenizedPair>,
        loss: L,
        reference: Reference<M>,
        evaluation_tokens: usize,
    ) -> Result<Self, DirectError> {
        let train = train.into();
        loss.check()?;
        reference.check(&loss, train.len(), held_out.len())?;
        for pair in 0..train.len() {
            let (lengths, numbers) = (train.lengths(pair)?, train.numbers(pair)?);
            let least = usize::from(lengths.prompt == 0) as u32;
            if lengths.answers.iter().any(|answer| *answer <= least) {
                let part = "training";
                return Err(DirectError::EmptyCompletion { part, pair });
            }
            check_numbers(&loss, numbers, pair)?;
        }
        let empty = |p: &TokenizedPair| {
            targets(&p.prompt, &p.chosen) == 0 || targets(&p.prompt, &p.rejected) == 0
        };
        if let Some(pair) = held_out.iter().position(empty) {
            let part = "held-out";
            return Err(DirectError::EmptyCompletion { part, pair });
        }
        Ok(Self {
            train,
            held_out,
            reference: reference.ready_for(&loss),
            loss,
            evaluation_tokens: evaluation_tokens.max(1),
            step: CurrentStep::default(),
        })
    }

    /// Returns the likelihood term of an anchored loss as a metric, summed over pairs; `None` for
    /// other losses.
    fn anchor<'p>(
        &self,
        pairs: impl IntoIterator<Item = &'p TokenizedPair>,
        chosen_logps: &[f64],
    ) -> Option<(&'static str, f64)> {
        let tokens = |pair: &TokenizedPair| targets(&pair.prompt, &pair.chosen) as f64;
        let pairs = pairs.into_iter().zip(chosen_logps);
        (self.loss.nll_anchor() > 0.0).then(|| {
            let nll = pairs.map(|(pair, logp)| -logp / tokens(pair)).sum();
            (names::NLL_LOSS, nll)
        })
    }

    /// Computes the losses of a micro-batch, or of the whole step if the step has only one.
    fn losses(
        &self,
        model: &M,
        examples: &[usize],
        pairs: &[Cow<'_, TokenizedPair>],
        key: Key,
    ) -> Result<DirectLosses, DirectError> {
        let pairs: Vec<&TokenizedPair> = pairs.iter().map(AsRef::as_ref).collect();
        let held = self.held(model, examples, key)?;
        let reference = self.reference.train_logps(model, &pairs, examples);
        let reference = reference.map_err(named(examples))?;
        let batch = to_device(pack(&pairs), model)
            .map_err(|source| named(examples)(DirectError::pair("training", source)))?
            .of_examples(examples);
        let (loss, f) = (&self.loss, Forward::train(key));
        let (pairs, reference) = (pairs.as_slice(), reference.as_deref());
        losses_of(
            model,
            &batch,
            pairs,
            loss,
            reference,
            f,
            |logps| match &held {
                Some(held) => losses(logps, held),
                None => loss.forward(logps),
            },
        )
    }

    /// Returns the derivatives of the whole step for these examples. `None` if the examples are the
    /// whole step, or if the loss does not look across pairs.
    fn held(
        &self,
        model: &M,
        examples: &[usize],
        key: Key,
    ) -> Result<Option<Vec<Held>>, DirectError> {
        if !self.loss.across_pairs() {
            return Ok(None);
        }
        let mut step = self.step.lock();
        if examples.len() >= step.examples.len() {
            return Ok(None);
        }
        let all = match &step.held {
            Some(all) => Arc::clone(all),
            None => Arc::new(self.hold(model, &step.examples, key)?),
        };
        step.held = Some(Arc::clone(&all));
        let of = |example: &usize| all.get(example).copied();
        match examples.iter().map(of).collect() {
            Some(held) => Ok(Some(held)),
            None => Err(DirectError::OtherStep {
                loss: self.loss.name(),
            }),
        }
    }

    fn hold(
        &self,
        model: &M,
        step: &[usize],
        key: Key,
    ) -> Result<HashMap<usize, Held>, DirectError> {
        let untracked = model.clone().valid();
        let rows = self.train.rows(step)?;
        let pairs: Vec<&TokenizedPair> = rows.iter().map(AsRef::as_ref).collect();
        let (mut policy, mut reference) = (Vec::new(), Some(Vec::new()));
        let packed = packs(
            &pairs,
            self.evaluation_tokens,
            |pair| cost(pair),
            |pack, pair| crate::logps::push(pack, pair),
        );
        for (range, pack) in packed {
            let (examples, pairs) = (&step[range.clone()], &pairs[range]);
            let batch = to_device(pack, &untracked)
                .map_err(|source| named(examples)(DirectError::pair("training", source)))?
                .of_examples(examples);
            policy.extend(policy_logps(&untracked, &batch, Forward::train(key)));
            let of = self.reference.train_logps(model, pairs, examples);
            let of = of.map_err(named(examples))?;
            reference = reference.zip(of).map(|(mut all, of)| {
                all.extend(of);
                all
            });
        }
        let (reference, device) = (reference.as_deref(), model.device());
        hold(&self.loss, step, &pairs, &policy, reference, &device)
    }
}

/// Refuses a margin or a weight that the loss does not take.
pub fn check_numbers(
    loss: &impl DirectLoss,
    numbers: RowNumbers,
    pair: usize,
) -> Result<(), DirectError> {
    let loss_name = loss.name();
    let refused = |what| DirectError::Number {
        loss: loss_name,
        what,
        pair,
    };
    if numbers.margin.is_some() && !loss.takes_margins() {
        return Err(refused("margin"));
    }
    if numbers.weight.is_some_and(|weight| weight != 1.0) && !loss.takes_weights() {
        return Err(refused("weight"));
    }
    Ok(())
}

/// Turns the error of a batch's pair into the error of the training pair.
fn named(examples: &[usize]) -> impl Fn(DirectError) -> DirectError + '_ {
    move |error| match error {
        DirectError::Pair { part, pair, source } => DirectError::Pair {
            part,
            pair: examples[pair],
            source,
        },
        other => other,
    }
}

/// Returns the sums over pairs of the logged values: rewards and log-probabilities of the chosen
/// and of the rejected completions.
fn sums(
    [chosen, rejected, logps_chosen, logps_rejected]: &[Vec<f64>; 4],
) -> [(&'static str, f64); 6] {
    let pairs = chosen.iter().zip(rejected);
    let right: f64 = pairs.map(|(c, r)| outcome(c.partial_cmp(r))).sum();
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    [
        (names::REWARDS_CHOSEN, sum(chosen)),
        (names::REWARDS_REJECTED, sum(rejected)),
        (names::REWARDS_MARGINS, sum(chosen) - sum(rejected)),
        (names::REWARDS_ACCURACIES, right),
        (names::LOGPS_CHOSEN, sum(logps_chosen)),
        (names::LOGPS_REJECTED, sum(logps_rejected)),
    ]
}

impl<M: CausalLm, L: DirectLoss> Objective for DirectObjective<M, L> {
    type Model = M;

    fn len(&self) -> usize {
        self.train.len()
    }

    fn tokens(&self, example: usize) -> usize {
        // A row that cannot be read fails when its loss is computed.
        let lengths = self.train.lengths(example);
        lengths.map_or(0, |lengths| lengths.total() as usize)
    }

    fn weight(&self, examples: &[usize]) -> f64 {
        let weight = |&example: &usize| self.train.weight(example).unwrap_or(1.0);
        examples.iter().map(weight).sum()
    }

    fn begin_step(&self, _model: &M, examples: &[usize]) -> Result<(), TrainError> {
        let mut step = self.step.lock();
        step.examples = examples.to_vec();
        step.held = None;
        Ok(())
    }

    fn fingerprint(&self) -> String {
        hash_json(&(
            "pairs",
            self.train.fingerprint(training_hash),
            pairs_hash(&self.held_out),
            format!("{:?}", self.loss),
            self.reference.fingerprint(),
        ))
    }

    fn forward(&self, model: &M, examples: &[usize], key: Key) -> Result<Forwarded, TrainError> {
        let rows = self.train.rows(examples).map_err(DirectError::from)?;
        let out = self.losses(model, examples, &rows, key)?;
        let pairs: Vec<&TokenizedPair> = rows.iter().map(AsRef::as_ref).collect();
        let weight = examples.len() as f64;
        let [logps_chosen, logps_rejected] = out.logps;
        let rewards = out.rewards;
        let logged = to_host([
            rewards.chosen,
            rewards.rejected,
            logps_chosen,
            logps_rejected,
        ]);
        let anchor = self.anchor(pairs.iter().copied(), &logged[2]);
        let loss = match weights(&pairs, &out.loss) {
            Some(weights) => out.loss * weights,
            None => out.loss,
        };
        Ok(Forwarded {
            loss_sum: loss.sum(),
            metrics: sums(&logged)
                .into_iter()
                .chain(anchor)
                .map(|(name, sum)| (name, sum, weight))
                .collect(),
            tokens: out.tokens,
        })
    }

    fn evaluate(&self, model: &M) -> Result<Option<Evaluation>, TrainError> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        let (pairs, tokens) = (&self.held_out, self.evaluation_tokens);
        let reference = self.reference.held_out_logps(model, pairs, tokens)?;
        let policy = pair_logps(model, pairs, Forward::EVAL, tokens)
            .map_err(|source| DirectError::pair("held-out", source))?;
        let device = model.device();
        let policy = columns(&policy, &device);
        let [logps_chosen, logps_rejected] = policy.clone();
        let all: Vec<&TokenizedPair> = pairs.iter().collect();
        let reference = reference.map(|logps| columns(&logps, &device));
        let logps = gather(policy, reference, &all);
        let loss = self.loss.forward(&logps).map_err(TrainError::objective)?;
        let rewards = self
            .loss
            .implicit_rewards(&logps)
            .map_err(TrainError::objective)?;
        let n = pairs.len() as f64;
        let [loss] = to_host([loss]);
        let loss = loss.iter().sum::<f64>() / n;
        let logged = to_host([
            rewards.chosen,
            rewards.rejected,
            logps_chosen,
            logps_rejected,
        ]);
        let anchor = self.anchor(pairs, &logged[2]);
        let mut metrics: BTreeMap<String, f64> = sums(&logged)
            .into_iter()
            .chain(anchor)
            .map(|(name, sum)| (name.to_owned(), sum / n))
            .collect();
        metrics.insert(names::LOSS.to_owned(), loss);
        Ok(Some(Evaluation {
            metrics,
            score: -loss,
        }))
    }
}
