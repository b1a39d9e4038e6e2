//! What the policy stage found out.

use std::collections::BTreeMap;

use collimate_eval::Interval;
use collimate_ppo::{RewardScaling, WatchedAnswer};
use serde::{Deserialize, Serialize};

use super::duels::Duel;
use crate::AnswerReport;

/// How a policy's training and its answers went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// The reward's name.
    pub name: String,
    /// Its stage in `metrics.jsonl`.
    pub stage: String,
    /// Whether it had a critic of its own.
    pub own_critic: bool,
    /// How scores became rewards, with the centre that was used.
    pub scaling: RewardScaling,
    /// Share of the responses of training on the floor of the scaling; absent without a floor.
    pub floor: Option<f64>,
    /// Optimiser steps.
    pub updates: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Mean reward of the start's answers to the test prompts.
    pub reward_before: Interval,
    /// Mean reward of its own.
    pub reward_after: Interval,
    /// Divergence of its answers from the start, in nats per answer, with its interval.
    pub kl: Interval,
    /// How its answers do against the start's, by the judge.
    pub answers: AnswerReport,
    /// Perplexity of held-out good answers; absent without any.
    pub perplexity: Option<f64>,
    /// The last rollout's metrics.
    pub metrics: BTreeMap<String, f64>,
    /// Answers to the watched prompts.
    pub watched: Vec<WatchedAnswer>,
}

/// From this share on, a reward that is the same for the rest tells nothing apart.
const FLOOR: f64 = 0.9;

impl PolicyReport {
    /// Facts that a reader must know before believing the policy: a scaling that gave nearly every response
    /// the same reward, or that lacks a centre.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let RewardScaling::Sigmoid { centre: None, .. } = self.scaling {
            warnings.push(format!(
                "{}: the sigmoid is taken of raw scores, whose offset is free where they come from a \
                 reward model trained on pairs: give policy.ppo.reward.scaling.sigmoid.centre in a \
                 --config file (the mean score of labelled answers), or --reward-scaling running",
                self.name
            ));
        }
        if let Some(floor) = self.floor.filter(|floor| *floor >= FLOOR) {
            warnings.push(format!(
                "{}: {:.1} % of the responses of training scored at or below the floor of the \
                 scaling ({}) and got the same smallest reward, so the policy learnt next to nothing \
                 from it: correct the centre, lower the threshold, or give --reward-scaling running",
                self.name,
                100.0 * floor,
                self.scaling,
            ));
        }
        warnings
    }
}

/// A trained policy.
#[derive(Debug, Clone)]
pub struct TrainedPolicy<M> {
    /// How it went.
    pub report: PolicyReport,
    /// The policy, untracked, without adapters.
    pub model: M,
}

/// Everything that the policy stage found out.
#[derive(Debug, Clone)]
pub struct PolicyOutcome<M> {
    /// In the order of the arms.
    pub policies: Vec<TrainedPolicy<M>>,
    /// The start's own answers under the judge, where there is one.
    pub start: Option<AnswerReport>,
    /// The start's perplexity of held-out good answers.
    pub start_perplexity: Option<f64>,
    /// Every policy against every earlier one under the judge; empty without a judge, as rewards of
    /// different kinds have no common scale.
    pub duels: Vec<Duel>,
    /// Who compared the answers.
    pub judge: Option<String>,
    /// Prompts trained on.
    pub prompts: usize,
    /// Prompts left out because a response would not fit behind them.
    pub too_long: usize,
    /// Seconds of the whole stage.
    pub seconds: f64,
}

impl<M> PolicyOutcome<M> {
    /// The policy trained against a reward, by name.
    pub fn policy(&self, name: &str) -> Option<&TrainedPolicy<M>> {
        self.policies.iter().find(|p| p.report.name == name)
    }
}
