//! Training a reward model on pairs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use burn::tensor::Tensor;
use collimate_core::{Key, outcome};
use collimate_data::TokenizedPair;
use collimate_eval::pairwise_accuracy;
use collimate_losses::PairwiseLoss;
use collimate_nn::{Backbone, Forward};
use collimate_train::{
    Evaluation, Forwarded, Objective, TrainError, hash_json, metric_names as names,
};

use crate::losses::reward_losses;
use crate::model::RewardModel;
use crate::noise::TokenNoise;
use crate::pack;
use crate::score::score_pairs;

/// The pairwise loss on raw scores, averaged over the pairs of the optimiser step.
#[derive(Debug, Clone)]
pub struct RewardObjective<B> {
    train: Vec<TokenizedPair>,
    held_out: Vec<TokenizedPair>,
    targets: Option<Vec<f32>>,
    noise: Option<TokenNoise>,
    loss: PairwiseLoss,
    evaluation_tokens: usize,
    model: PhantomData<fn() -> B>,
}

impl<B: Backbone> RewardObjective<B> {
    /// Trains on `train` and evaluates on `held_out` (which may be empty), in packs of about
    /// `evaluation_tokens` tokens.
    ///
    /// # Errors
    /// Loss options out of range, or a pair with an answer that has no token.
    pub fn new(
        train: Vec<TokenizedPair>,
        held_out: Vec<TokenizedPair>,
        loss: PairwiseLoss,
        evaluation_tokens: usize,
    ) -> Result<Self, TrainError> {
        loss.check().map_err(TrainError::objective)?;
        for (name, part) in [("training", &train), ("held-out", &held_out)] {
            let empty = |p: &TokenizedPair| p.chosen.is_empty() || p.rejected.is_empty();
            if let Some(index) = part.iter().position(empty) {
                return Err(TrainError::objective(format!(
                    "{name} pair {index} has an answer without tokens: drop the pair"
                )));
            }
        }
        Ok(Self {
            train,
            held_out,
            targets: None,
            noise: None,
            loss,
            evaluation_tokens: evaluation_tokens.max(1),
            model: PhantomData,
        })
    }

    /// Returns the objective with soft labels: each target is the probability that the chosen
    /// answer of a training pair is the better one ([`PairwiseLoss::forward_with_targets`]).
    ///
    /// # Errors
    /// A number of targets that differs from the number of training pairs, or a target outside \[0,
    /// 1\].
    pub fn with_targets(self, targets: Vec<f32>) -> Result<Self, TrainError> {
        if targets.len() != self.train.len() {
            return Err(TrainError::objective(format!(
                "{} targets for {} training pairs: give one for each",
                targets.len(),
                self.train.len()
            )));
        }
        let outside = |target: &f32| !(0.0..=1.0).contains(target);
        if let Some(index) = targets.iter().position(outside) {
            return Err(TrainError::objective(format!(
                "the target of training pair {index} is {} but must be a probability from 0 to 1",
                targets[index]
            )));
        }
        Ok(Self {
            targets: Some(targets),
            ..self
        })
    }

    /// Returns the objective with noise on its training pairs. Held-out pairs have no noise.
    #[must_use]
    pub fn with_noise(self, noise: TokenNoise) -> Self {
        Self {
            noise: Some(noise),
            ..self
        }
    }
}

impl<B: Backbone> Objective for RewardObjective<B> {
    type Model = RewardModel<B>;

    fn len(&self) -> usize {
        self.train.len()
    }

    fn tokens(&self, example: usize) -> usize {
        let pair = &self.train[example];
        pack::cost::<B>(pair.prompt.len(), &[pair.chosen.len(), pair.rejected.len()])
    }

    fn weight(&self, examples: &[usize]) -> f64 {
        examples.len() as f64
    }

    fn fingerprint(&self) -> String {
        let (train, held_out) = (&self.train, &self.held_out);
        match (&self.targets, &self.noise) {
            (None, None) => hash_json(&("reward", train, held_out, &self.loss)),
            (targets, noise) => hash_json(&("reward", train, held_out, &self.loss, targets, noise)),
        }
    }

    fn forward(
        &self,
        model: &RewardModel<B>,
        examples: &[usize],
        key: Key,
    ) -> Result<Forwarded, TrainError> {
        let pairs: Vec<Cow<'_, TokenizedPair>> = examples
            .iter()
            .map(|&index| match &self.noise {
                Some(noise) => Cow::Owned(noise.apply(&self.train[index], key.with(index as u64))),
                None => Cow::Borrowed(&self.train[index]),
            })
            .collect();
        let pairs = pairs.iter().map(AsRef::as_ref);
        let batch = pack::pair_batch(pairs, &model.backbone).map_err(|error| {
            let pair = examples[error.sequence() / 2];
            TrainError::objective(format!("training pair {pair}: {error}"))
        })?;
        let batch = batch.of_examples(examples);
        let targets = self.targets.as_ref().map(|targets| {
            let targets: Vec<f32> = examples.iter().map(|&index| targets[index]).collect();
            Tensor::from_data(targets.as_slice(), &model.backbone.device())
        });
        let out = reward_losses(model, &batch, &self.loss, targets, Forward::train(key))
            .map_err(TrainError::objective)?;
        let values = |t: Tensor<1>| -> Vec<f64> { t.into_data().iter().collect() };
        let (chosen, rejected) = (values(out.chosen), values(out.rejected));
        let sum = |v: &[f64]| v.iter().sum::<f64>();
        let pairs = chosen.iter().zip(&rejected);
        let right: f64 = pairs.map(|(c, r)| outcome(c.partial_cmp(r))).sum();
        let weight = examples.len() as f64;
        Ok(Forwarded {
            loss_sum: out.loss.sum(),
            metrics: vec![
                (names::REWARDS_CHOSEN, sum(&chosen), weight),
                (names::REWARDS_REJECTED, sum(&rejected), weight),
                (
                    names::REWARDS_MARGINS,
                    sum(&chosen) - sum(&rejected),
                    weight,
                ),
                (names::REWARDS_ACCURACIES, right, weight),
            ],
            tokens: batch.tokens(),
        })
    }

    fn evaluate(&self, model: &RewardModel<B>) -> Result<Option<Evaluation>, TrainError> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        let scores =
            score_pairs(model, &self.held_out, self.evaluation_tokens).map_err(|error| {
                let pair = error.sequence() / 2;
                TrainError::objective(format!("held-out pair {pair}: {error}"))
            })?;
        let accuracy = pairwise_accuracy(&scores)
            .map_err(TrainError::objective)?
            .accuracy;
        let n = scores.len() as f64;
        let margin = scores
            .iter()
            .map(|(c, r)| f64::from(*c) - f64::from(*r))
            .sum::<f64>()
            / n;
        Ok(Some(Evaluation {
            metrics: BTreeMap::from([
                (names::REWARDS_ACCURACIES.to_owned(), accuracy),
                (names::REWARDS_MARGINS.to_owned(), margin),
            ]),
            score: accuracy,
        }))
    }
}
