//! What a run goes on from.

use std::collections::BTreeMap;

use collimate_train::Exact;
use serde::{Deserialize, Serialize};

use crate::outcome::WatchedAnswer;
use crate::rollout::Rollout;
use crate::scaling::RunningMoments;

/// Everything besides weights and moments. Random streams are keyed by the rollout: no state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Rollouts finished.
    pub(crate) rollouts: u64,
    /// Mini-batches of the rollout under way that are done, over all its passes.
    pub(crate) place: u64,
    /// Counts rollouts written and mini-batches done: the number of a checkpoint.
    pub(crate) ticks: u64,
    /// Optimiser steps.
    pub(crate) updates: u64,
    pub(crate) tokens: u64,
    pub(crate) kl_coef: Exact,
    /// Scores of the rollouts before this one.
    pub(crate) seen: RunningMoments,
    /// Responses so far: those on the scaling's floor, and all. Absent where the scaling has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) floor: Option<[u64; 2]>,
    /// The rollout under way, once it is written.
    pub(crate) current: Option<Rollout>,
    pub(crate) sums: Sums,
    pub(crate) answers: Vec<WatchedAnswer>,
    /// The last line of metrics.
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

    /// One more.
    pub(crate) fn count(&mut self, name: &str) {
        let entry = self
            .0
            .entry(name.to_owned())
            .or_insert([Exact(0.0), Exact(1.0)]);
        entry[0].0 += 1.0;
    }

    /// The larger of what was there and `value`.
    pub(crate) fn max(&mut self, name: &str, value: f64) {
        let entry = self
            .0
            .entry(name.to_owned())
            .or_insert([Exact(value), Exact(1.0)]);
        entry[0].0 = entry[0].0.max(value);
    }

    /// All means, counts and largest values.
    pub(crate) fn means(&self) -> impl Iterator<Item = (String, f64)> + '_ {
        let weighted = self.0.iter().filter(|(_, [_, weight])| weight.0 != 0.0);
        weighted.map(|(name, [sum, weight])| (name.clone(), sum.0 / weight.0))
    }
}
