//! Direct alignment on single completions that are labelled desirable or undesirable.

use std::marker::PhantomData;
use std::sync::Mutex;

use burn::tensor::Tensor;
use collimate_core::Key;
use collimate_data::TokenizedPair;
use collimate_losses::{ShiftNeed, UnpairedLogps, UnpairedLoss, bco_shift, kto_reference_point};
use collimate_nn::{CausalLm, Forward, Pack, completion_logps, packs};
use collimate_train::{Forwarded, Objective, TrainError, hash_json, metric_names as names};

use crate::logps::{targets, to_device};
use crate::{DirectError, Reference};

/// A completion with its label, as token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpairedExample {
    /// The prompt with BOS; empty if there is neither.
    pub prompt: Vec<u32>,
    /// The completion, with EOS unless it was cut.
    pub completion: Vec<u32>,
    /// True if the completion is desirable.
    pub desirable: bool,
}

impl UnpairedExample {
    /// Returns both completions of a pair: the chosen one desirable, the rejected one undesirable.
    pub fn of_pair(pair: &TokenizedPair) -> [Self; 2] {
        [(&pair.chosen, true), (&pair.rejected, false)].map(|(completion, desirable)| Self {
            prompt: pair.prompt.clone(),
            completion: completion.clone(),
            desirable,
        })
    }
}

/// KTO or BCO, averaged over the completions of the optimiser step.
///
/// The reference point of the rewards is computed once per step over its **global** batch,
/// untracked. KTO computes it from completions under the prompt of the next example with another
/// prompt. BCO computes it from the batch's rewards. So the result does not depend on the
/// micro-batches.
///
/// Each step logs `rewards/chosen` (desirable), `rewards/rejected` (undesirable) and `kl` (the
/// reference point).
///
/// # Differs from
/// TRL's KTO trainer takes the mismatched completions within a device's batch. Its BCO trainer uses
/// a running mean over all steps.
#[derive(Debug)]
pub struct UnpairedObjective<M, L> {
    train: Vec<UnpairedExample>,
    loss: L,
    reference: Reference<M>,
    tokens_per_pack: usize,
    shift: Mutex<f64>,
    model: PhantomData<fn() -> M>,
}

impl<M: CausalLm, L: UnpairedLoss> UnpairedObjective<M, L> {
    /// Trains on `train`; `tokens_per_pack` is the size of packs in untracked passes. The reference
    /// is a model or the policy with its adapters off.
    ///
    /// # Errors
    /// Options of the loss out of range, another kind of reference, an example without tokens.
    pub fn new(
        train: Vec<UnpairedExample>,
        loss: L,
        reference: Reference<M>,
        tokens_per_pack: usize,
    ) -> Result<Self, DirectError> {
        loss.check()?;
        let reference = match reference {
            Reference::Model(model) => Reference::Model(model.valid()),
            Reference::AdaptersOff => Reference::AdaptersOff,
            Reference::None => return Err(DirectError::NoReference { loss: loss.name() }),
            Reference::Logps { .. } => {
                return Err(DirectError::LiveReference { loss: loss.name() });
            }
        };
        let empty = |e: &UnpairedExample| targets(&e.prompt, &e.completion) == 0;
        if let Some(pair) = train.iter().position(empty) {
            let part = "unpaired";
            return Err(DirectError::EmptyCompletion { part, pair });
        }
        Ok(Self {
            train,
            loss,
            reference,
            tokens_per_pack: tokens_per_pack.max(1),
            shift: Mutex::new(0.0),
            model: PhantomData,
        })
    }

    /// Returns the untracked log-ratios of sequences of (prompt, completion).
    fn log_ratios(&self, model: &M, rows: &[(&[u32], &[u32])]) -> Result<Vec<f64>, DirectError> {
        let frozen = model.clone().valid();
        let policy = self.sums(&frozen, rows, Forward::EVAL)?;
        let reference = match &self.reference {
            Reference::Model(reference) => self.sums(reference, rows, Forward::EVAL)?,
            _ => {
                if !frozen.clone().has_lora() {
                    return Err(DirectError::NoAdapters);
                }
                self.sums(&frozen, rows, Forward::REFERENCE)?
            }
        };
        Ok(policy.iter().zip(&reference).map(|(p, r)| p - r).collect())
    }

    fn sums(
        &self,
        model: &M,
        rows: &[(&[u32], &[u32])],
        f: Forward,
    ) -> Result<Vec<f64>, DirectError> {
        let cost = |(prompt, completion): &(&[u32], &[u32])| prompt.len() + completion.len();
        let push = |pack: &mut Pack, (prompt, completion): &(&[u32], &[u32])| {
            pack.push_shared(prompt, &[completion]);
        };
        let mut sums = Vec::with_capacity(rows.len());
        for (range, pack) in packs(rows, self.tokens_per_pack, cost, push) {
            let batch = to_device(pack, model).map_err(|error| {
                let source = error.after(range.start);
                DirectError::Pair {
                    part: "unpaired",
                    pair: source.sequence(),
                    source,
                }
            })?;
            let values = completion_logps(model, &batch, f).detach().into_data();
            sums.extend(values.iter::<f64>());
        }
        Ok(sums)
    }

    fn rows(&self, examples: &[usize]) -> Vec<(&[u32], &[u32])> {
        let row = |&index: &usize| {
            let e = &self.train[index];
            (e.prompt.as_slice(), e.completion.as_slice())
        };
        examples.iter().map(row).collect()
    }
}

/// Pairs each prompt with the completion of the next row that has another prompt, cut to the
/// model's context. A row is left out if no row has another prompt, or if the prompt leaves no
/// room.
fn mismatched<'a>(rows: &[(&'a [u32], &'a [u32])], context: usize) -> Vec<(&'a [u32], &'a [u32])> {
    let n = rows.len();
    (0..n)
        .filter_map(|i| {
            let others = (1..n).map(|step| rows[(i + step) % n]);
            let other = others.into_iter().find(|(prompt, _)| *prompt != rows[i].0);
            let (_, completion) = other?;
            let prompt = rows[i].0;
            let room = context.saturating_sub(prompt.len()).min(completion.len());
            let completion = &completion[..room];
            (targets(prompt, completion) > 0).then_some((prompt, completion))
        })
        .collect()
}

impl<M: CausalLm, L: UnpairedLoss> Objective for UnpairedObjective<M, L> {
    type Model = M;

    fn len(&self) -> usize {
        self.train.len()
    }

    fn tokens(&self, example: usize) -> usize {
        let example = &self.train[example];
        example.prompt.len() + example.completion.len()
    }

    fn weight(&self, examples: &[usize]) -> f64 {
        examples.len() as f64
    }

    fn begin_step(&self, model: &M, examples: &[usize]) -> Result<(), TrainError> {
        let rows = self.rows(examples);
        let shift = match self.loss.shift_need() {
            ShiftNeed::MismatchedLogRatio => {
                let rows = mismatched(&rows, model.max_positions());
                kto_reference_point(&self.log_ratios(model, &rows)?)
            }
            ShiftNeed::RewardMean => {
                let desirable: Vec<bool> =
                    examples.iter().map(|&i| self.train[i].desirable).collect();
                bco_shift(
                    self.loss.beta(),
                    &self.log_ratios(model, &rows)?,
                    &desirable,
                )
            }
        };
        *self.shift.lock().unwrap_or_else(|e| e.into_inner()) = shift;
        Ok(())
    }

    fn fingerprint(&self) -> String {
        let rows = self.train.iter();
        let rows: Vec<_> = rows
            .map(|e| (&e.prompt, &e.completion, e.desirable))
            .collect();
        let loss = format!("{:?}", self.loss);
        hash_json(&("unpaired", rows, loss, self.reference.fingerprint()))
    }

    fn forward(&self, model: &M, examples: &[usize], key: Key) -> Result<Forwarded, TrainError> {
        let rows = self.rows(examples);
        let frozen = model.clone().valid();
        let reference = match &self.reference {
            Reference::Model(reference) => self.sums(reference, &rows, Forward::EVAL)?,
            _ => self.sums(&frozen, &rows, Forward::REFERENCE)?,
        };
        let mut pack = Pack::new();
        for (prompt, completion) in &rows {
            pack.push_shared(prompt, &[completion]);
        }
        let batch = to_device(pack, model).map_err(TrainError::objective)?;
        let batch = batch.of_examples(examples);
        let policy = completion_logps(model, &batch, Forward::train(key));
        let reference: Vec<f32> = reference.iter().map(|&v| v as f32).collect();
        let reference = Tensor::from_data(reference.as_slice(), &model.device());
        let desirable: Vec<bool> = examples.iter().map(|&i| self.train[i].desirable).collect();
        let shift = *self.shift.lock().unwrap_or_else(|e| e.into_inner());
        let logps = UnpairedLogps::new(policy, reference, desirable.clone()).with_shift(shift);
        let loss = self.loss.forward(&logps).map_err(TrainError::objective)?;
        let rewards = self
            .loss
            .implicit_rewards(&logps)
            .map_err(TrainError::objective)?;
        let rewards: Vec<f64> = rewards.into_data().iter().collect();
        let class = |side: bool| {
            let members = rewards.iter().zip(&desirable).filter(|(_, d)| **d == side);
            let (count, sum) = members.fold((0.0, 0.0), |(n, s), (r, _)| (n + 1.0, s + r));
            (sum, count)
        };
        let (chosen, rejected, n) = (class(true), class(false), examples.len() as f64);
        Ok(Forwarded {
            loss_sum: loss.sum(),
            metrics: vec![
                (names::REWARDS_CHOSEN, chosen.0, chosen.1),
                (names::REWARDS_REJECTED, rejected.0, rejected.1),
                (names::KL, shift * n, n),
            ],
            tokens: batch.tokens(),
        })
    }
}
