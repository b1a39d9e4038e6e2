//! What training gives.

use std::collections::BTreeMap;

use collimate_nn::CausalLm;
use serde::{Deserialize, Serialize};

use crate::ActorCritic;

/// An answer to a watched prompt: what the policy writes as training goes on, always by the same
/// random numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchedAnswer {
    /// After how many rollouts; 0 is the start.
    pub rollout: u64,
    /// The prompt, as a person would read it.
    pub prompt: String,
    /// The answer.
    pub answer: String,
    /// Its score, as the reward gives it.
    pub score: f32,
}

/// A finished training.
#[derive(Debug, Clone)]
pub struct Trained<M: CausalLm> {
    /// Policy and critic, untracked.
    pub model: ActorCritic<M>,
    /// Rollouts.
    pub rollouts: u64,
    /// Optimiser steps: those planned, without what was skipped or stopped early.
    pub updates: u64,
    /// Tokens of prompts and responses, each rollout counted once.
    pub tokens: u64,
    /// Seconds, earlier starts included.
    pub seconds: f64,
    /// Share of all responses whose score landed on the smallest reward that the scaling gives: near
    /// 1 the reward told nothing apart. Absent where the scaling has no smallest.
    pub floor: Option<f64>,
    /// The metrics of the last rollout.
    pub metrics: BTreeMap<String, f64>,
    /// Answers to the watched prompts.
    pub answers: Vec<WatchedAnswer>,
}
