//! Results of a training.

use std::collections::BTreeMap;

use collimate_nn::CausalLm;
use serde::{Deserialize, Serialize};

use crate::ActorCritic;

/// Answer of the policy to a watched prompt during training. All answers to a prompt use the same
/// random numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchedAnswer {
    /// Number of rollouts before the answer; 0 is the start.
    pub rollout: u64,
    /// The prompt as readable text.
    pub prompt: String,
    /// The answer.
    pub answer: String,
    /// Score of the answer, as given by the reward.
    pub score: f32,
}

/// Result of a finished training.
#[derive(Debug, Clone)]
pub struct Trained<M: CausalLm> {
    /// Policy and critic, untracked.
    pub model: ActorCritic<M>,
    /// Number of rollouts.
    pub rollouts: u64,
    /// Number of optimiser steps made: the planned steps without those skipped or stopped early.
    pub updates: u64,
    /// Number of tokens of prompts and responses; each rollout counts once.
    pub tokens: u64,
    /// Seconds of training, including earlier starts.
    pub seconds: f64,
    /// Share of all responses whose score got the smallest reward of the scaling. Near 1, the
    /// reward told no responses apart. Absent if the scaling has no smallest reward.
    pub floor: Option<f64>,
    /// Metrics of the last rollout.
    pub metrics: BTreeMap<String, f64>,
    /// Answers to the watched prompts.
    pub answers: Vec<WatchedAnswer>,
}
