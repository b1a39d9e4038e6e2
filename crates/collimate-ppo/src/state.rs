//! State from which a run is resumed.

use std::collections::BTreeMap;

use collimate_train::Exact;
use serde::{Deserialize, Serialize};

use crate::outcome::WatchedAnswer;
use crate::rollout::Rollout;
use crate::scaling::RunningMoments;

/// State of a run besides weights and optimiser moments. Random streams need no state, because they
/// are keyed by the rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Number of finished rollouts.
    pub(crate) rollouts: u64,
    /// Number of finished mini-batches of the current rollout, over all its passes.
    pub(crate) place: u64,
    /// Number of written rollouts plus finished mini-batches, which numbers the checkpoints.
    pub(crate) ticks: u64,
    /// Number of optimiser steps.
    pub(crate) updates: u64,
    pub(crate) tokens: u64,
    pub(crate) kl_coef: Exact,
    /// Scores of the rollouts before this one.
    pub(crate) seen: RunningMoments,
    /// Numbers of responses so far: those on the scaling's floor, and all. Absent if the scaling
    /// has no floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) floor: Option<[u64; 2]>,
    /// The current rollout, once it is written.
    pub(crate) current: Option<Rollout>,
    pub(crate) sums: Sums,
    pub(crate) answers: Vec<WatchedAnswer>,
    /// Metrics of the last finished rollout.
    pub(crate) metrics: BTreeMap<String, Exact>,
    pub(crate) seconds: f64,
    pub(crate) finished: bool,
}

/// Weighted means over the mini-batches of a rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Sums(BTreeMap<String, [Exact; 2]>);

impl Sums {
    /// Adds `value` with a weight.
    pub(crate) fn add(&mut self, name: &str, value: f64, weight: f64) {
        let entry = self.0.entry(name.to_owned()).or_default();
        entry[0].0 += value * weight;
        entry[1].0 += weight;
    }

    /// Increases a count by one.
    pub(crate) fn count(&mut self, name: &str) {
        let entry = self
            .0
            .entry(name.to_owned())
            .or_insert([Exact(0.0), Exact(1.0)]);
        entry[0].0 += 1.0;
    }

    /// Keeps the larger of the stored value and `value`.
    pub(crate) fn max(&mut self, name: &str, value: f64) {
        let entry = self
            .0
            .entry(name.to_owned())
            .or_insert([Exact(value), Exact(1.0)]);
        entry[0].0 = entry[0].0.max(value);
    }

    /// Returns all means, counts and largest values.
    pub(crate) fn means(&self) -> impl Iterator<Item = (String, f64)> + '_ {
        let weighted = self.0.iter().filter(|(_, [_, weight])| weight.0 != 0.0);
        weighted.map(|(name, [sum, weight])| (name.clone(), sum.0 / weight.0))
    }
}
