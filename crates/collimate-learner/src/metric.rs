//! Rewards as metrics of burn-train.

use std::fmt;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorReadError};
use burn_train::metric::state::{FormatOptions, NumericMetricState};
use burn_train::metric::{
    Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry,
    SerializedEntry,
};
use collimate_eval::pairwise_accuracy;

use crate::RewardsInput;

/// Metric of burn-train for outputs with rewards ([`PairOutput`](crate::PairOutput)): the mean over
/// pairs of a number computed from their rewards.
///
/// | constructor | name | TRL's key |
/// |---|---|---|
/// | [`accuracies`](Self::accuracies) | Rewards Accuracies | `rewards/accuracies` |
/// | [`margins`](Self::margins) | Rewards Margins | `rewards/margins` |
/// | [`chosen`](Self::chosen) | Rewards Chosen | `rewards/chosen` |
/// | [`rejected`](Self::rejected) | Rewards Rejected | `rewards/rejected` |
///
/// Burn makes a file name of the metric's name, so the name cannot contain a slash.
#[derive(Clone)]
pub struct RewardMetric {
    name: MetricName,
    mean: fn(&[(f32, f32)]) -> f64,
    higher_is_better: bool,
    state: NumericMetricState,
}

impl RewardMetric {
    /// Makes a metric of the share of pairs whose chosen completion has the larger reward; a tie
    /// counts one half. NaN if a reward is not a number.
    pub fn accuracies() -> Self {
        Self::new("Rewards Accuracies", |pairs| {
            pairwise_accuracy(pairs).map_or(f64::NAN, |found| found.accuracy)
        })
        .higher_is_better(true)
    }

    /// Makes a metric of the reward of the chosen completion minus that of the rejected one.
    pub fn margins() -> Self {
        Self::new("Rewards Margins", |pairs| {
            mean(pairs, |(c, r)| f64::from(c) - f64::from(r))
        })
        .higher_is_better(true)
    }

    /// Makes a metric of the reward of the chosen completion.
    pub fn chosen() -> Self {
        Self::new("Rewards Chosen", |pairs| mean(pairs, |(c, _)| f64::from(c)))
            .higher_is_better(true)
    }

    /// Makes a metric of the reward of the rejected completion.
    pub fn rejected() -> Self {
        Self::new("Rewards Rejected", |pairs| {
            mean(pairs, |(_, r)| f64::from(r))
        })
    }

    fn new(name: &str, mean: fn(&[(f32, f32)]) -> f64) -> Self {
        Self {
            name: Arc::new(name.to_owned()),
            mean,
            higher_is_better: false,
            state: NumericMetricState::new(),
        }
    }

    fn higher_is_better(self, higher_is_better: bool) -> Self {
        Self {
            higher_is_better,
            ..self
        }
    }

    fn format(&self) -> FormatOptions {
        FormatOptions::new(self.name()).precision(4)
    }
}

fn mean(pairs: &[(f32, f32)], of: fn((f32, f32)) -> f64) -> f64 {
    pairs.iter().map(|&pair| of(pair)).sum::<f64>() / pairs.len() as f64
}

impl fmt::Debug for RewardMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewardMetric")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Metric for RewardMetric {
    type Input = RewardsInput;

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes {
            unit: None,
            higher_is_better: self.higher_is_better,
        }
        .into()
    }

    fn update(
        &mut self,
        item: &RewardsInput,
        _metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        let read = |side: &Tensor<1>| side.clone().try_into_vec_as::<f32>();
        let (chosen, rejected) = (read(&item.chosen)?, read(&item.rejected)?);
        let pairs: Vec<(f32, f32)> = chosen.into_iter().zip(rejected).collect();
        self.state.update((self.mean)(&pairs), pairs.len());
        Ok(self.state.compute_update(self.format()))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.state.compute_final(self.format()))
    }

    fn clear(&mut self) {
        self.state.reset();
    }
}

impl Numeric for RewardMetric {
    fn value(&self) -> Option<NumericEntry> {
        Some(self.state.current_value())
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(self.state.running_value())
    }

    fn final_value(&self) -> NumericEntry {
        self.state.final_value()
    }
}
