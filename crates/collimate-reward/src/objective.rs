//! Training a reward model on pairs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use burn::tensor::Tensor;
use collimate_core::{Key, outcome};
use collimate_data::{RowSource, TokenizedPair};
use collimate_eval::pairwise_accuracy;
use collimate_losses::{PairTerms, PairwiseLoss};
use collimate_nn::{Backbone, Forward};
use collimate_ops::to_host;
use collimate_train::{
    Evaluation, Forwarded, Objective, TrainError, hash_json, metric_names as names,
};

use crate::losses::reward_losses;
use crate::model::RewardModel;
use crate::noise::TokenNoise;
use crate::pack;
use crate::score::score_pairs;

/// The pairwise loss on raw scores, averaged over the pairs of the optimiser step, weighted by the
/// weight of each pair. A pair of weight 2 counts like two pairs of weight 1.
///
/// A pair's margin is added to the margin of the loss, as TRL's `RewardTrainer` does. The logged loss of a
/// step is weighted. The other metrics are not, and the evaluation of held-out pairs uses neither
/// weights nor margins.
#[derive(Debug, Clone)]
pub struct RewardObjective<B> {
    train: RowSource<TokenizedPair>,
    held_out: Vec<TokenizedPair>,
    targets: Option<Vec<f32>>,
    noise: Option<TokenNoise>,
    loss: PairwiseLoss,
    evaluation_tokens: usize,
    model: PhantomData<fn() -> B>,
}

impl<B: Backbone> RewardObjective<B> {
    /// Trains on `train`, in memory or in a store on disk, and evaluates on `held_out` (which may be
    /// empty), in packs of about `evaluation_tokens` tokens.
    ///
    /// # Errors
    /// Loss options out of range, a pair with an answer that has no token, a store that cannot be
    /// read.
    pub fn new(
        train: impl Into<RowSource<TokenizedPair>>,
        held_out: Vec<TokenizedPair>,
        loss: PairwiseLoss,
        evaluation_tokens: usize,
    ) -> Result<Self, TrainError> {
        loss.check().map_err(TrainError::objective)?;
        let train = train.into();
        let refused = |name: &str, index: usize| {
            TrainError::objective(format!(
                "{name} pair {index} has an answer without tokens: drop the pair"
            ))
        };
        for index in 0..train.len() {
            let lengths = train.lengths(index).map_err(TrainError::objective)?;
            if lengths.answers.contains(&0) {
                return Err(refused("training", index));
            }
        }
        let empty = |p: &TokenizedPair| p.chosen.is_empty() || p.rejected.is_empty();
        if let Some(index) = held_out.iter().position(empty) {
            return Err(refused("held-out", index));
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
        // A row that cannot be read fails when its loss is computed.
        let Ok(lengths) = self.train.lengths(example) else {
            return 0;
        };
        let answers = lengths.answers.map(|length| length as usize);
        pack::cost::<B>(lengths.prompt as usize, &answers)
    }

    fn weight(&self, examples: &[usize]) -> f64 {
        let weight = |&example: &usize| self.train.weight(example).unwrap_or(1.0);
        examples.iter().map(weight).sum()
    }

    fn fingerprint(&self) -> String {
        let (held_out, loss) = (&self.held_out, &self.loss);
        let train = self.train.fingerprint(|pairs| hash_json(&pairs));
        match (&self.targets, &self.noise) {
            (None, None) => hash_json(&("reward", train, held_out, loss)),
            (targets, noise) => hash_json(&("reward", train, held_out, loss, targets, noise)),
        }
    }

    fn forward(
        &self,
        model: &RewardModel<B>,
        examples: &[usize],
        key: Key,
    ) -> Result<Forwarded, TrainError> {
        let mut pairs = self.train.rows(examples).map_err(TrainError::objective)?;
        if let Some(noise) = &self.noise {
            for (pair, &index) in pairs.iter_mut().zip(examples) {
                *pair = Cow::Owned(noise.apply(pair, key.with(index as u64)));
            }
        }
        let device = model.backbone.device();
        let column = |values: Vec<f32>| Tensor::<1>::from_data(values.as_slice(), &device);
        let margins = pairs.iter().any(|pair| pair.margin.is_some());
        let margins = margins.then(|| {
            let margins = pairs.iter().map(|pair| pair.margin.unwrap_or(0.0));
            column(margins.collect())
        });
        let weights = pairs.iter().any(|pair| pair.weight_or_one() != 1.0);
        let weights =
            weights.then(|| column(pairs.iter().map(|pair| pair.weight_or_one()).collect()));
        let pairs = pairs.iter().map(AsRef::as_ref);
        let batch = pack::pair_batch(pairs, &model.backbone).map_err(|error| {
            let pair = examples[error.sequence() / 2];
            TrainError::objective(format!("training pair {pair}: {error}"))
        })?;
        let batch = batch.of_examples(examples);
        let targets = self.targets.as_ref().map(|targets| {
            let targets = examples.iter().map(|&index| targets[index]);
            column(targets.collect())
        });
        let terms = PairTerms { margins, targets };
        let out = reward_losses(model, &batch, &self.loss, terms, Forward::train(key))
            .map_err(TrainError::objective)?;
        let loss = match weights {
            Some(weights) => {
                let dtype = out.loss.dtype();
                out.loss * weights.cast(dtype)
            }
            None => out.loss,
        };
        let [chosen, rejected] = to_host([out.chosen, out.rejected]);
        let sum = |v: &[f64]| v.iter().sum::<f64>();
        let pairs = chosen.iter().zip(&rejected);
        let right: f64 = pairs.map(|(c, r)| outcome(c.partial_cmp(r))).sum();
        let weight = examples.len() as f64;
        Ok(Forwarded {
            loss_sum: loss.sum(),
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
