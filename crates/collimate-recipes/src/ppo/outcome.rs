//! Results of the policy stage.

use std::collections::BTreeMap;

use collimate_eval::Interval;
use collimate_ppo::{RewardScaling, WatchedAnswer};
use serde::{Deserialize, Serialize};

use super::duels::Duel;
use crate::AnswerReport;

/// Training and answers of one policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// Name of the reward.
    pub name: String,
    /// Name of the policy's stage in `metrics.jsonl`.
    pub stage: String,
    /// True if the policy was trained with a separate critic.
    pub own_critic: bool,
    /// Scaling of scores to rewards, with the centre that was used.
    pub scaling: RewardScaling,
    /// Share of training responses whose reward was the floor of the scaling; absent without a
    /// floor.
    pub floor: Option<f64>,
    /// Number of optimiser steps.
    pub updates: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Mean reward of the start model's answers to the test prompts.
    pub reward_before: Interval,
    /// Mean reward of the policy's answers to the test prompts.
    pub reward_after: Interval,
    /// KL divergence of the policy from the start model on the policy's answers, in nats per
    /// answer, with its interval.
    pub kl: Interval,
    /// The policy's answers compared with the start model's, by the judge.
    pub answers: AnswerReport,
    /// Perplexity of held-out good answers; absent without held-out answers.
    pub perplexity: Option<f64>,
    /// Metrics of the last rollout.
    pub metrics: BTreeMap<String, f64>,
    /// Answers to the watched prompts.
    pub watched: Vec<WatchedAnswer>,
}

/// Share of responses on the floor above which the reward hardly tells responses apart.
const FLOOR: f64 = 0.9;

impl PolicyReport {
    /// Returns warnings that a reader must see before trusting the policy. They tell of a scaling
    /// that gave nearly every response the same reward, and of a sigmoid scaling without a centre.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let RewardScaling::Sigmoid { centre: None, .. } = self.scaling {
            warnings.push(format!(
                "{}: the sigmoid scaling has no centre, but a reward model trained on pairs has an \
                 arbitrary offset. Set policy.ppo.reward.scaling.sigmoid.centre in a --config file \
                 to the mean score of labelled answers, or give --reward-scaling running.",
                self.name
            ));
        }
        if let Some(floor) = self.floor.filter(|floor| *floor >= FLOOR) {
            warnings.push(format!(
                "{}: {:.1} % of the training responses scored at or below the floor of the scaling \
                 ({}). All of them got the same smallest reward, so the policy learnt almost \
                 nothing. Correct the centre, lower the threshold, or give --reward-scaling \
                 running.",
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
    /// Training and answers of the policy.
    pub report: PolicyReport,
    /// The policy, untracked, without adapters.
    pub model: M,
}

/// Results of the policy stage.
#[derive(Debug, Clone)]
pub struct PolicyOutcome<M> {
    /// Trained policies, in the order of the arms.
    pub policies: Vec<TrainedPolicy<M>>,
    /// The start model's own answers under the judge; absent without a judge.
    pub start: Option<AnswerReport>,
    /// Perplexity of held-out good answers under the start model.
    pub start_perplexity: Option<f64>,
    /// Comparison of every policy with every earlier one under the judge. Empty without a judge,
    /// because different rewards have no common scale.
    pub duels: Vec<Duel>,
    /// Name of the judge that compared the answers.
    pub judge: Option<String>,
    /// Number of training prompts.
    pub prompts: usize,
    /// Number of prompts left out because no response would fit after them.
    pub too_long: usize,
    /// Seconds of the whole stage.
    pub seconds: f64,
}

impl<M> PolicyOutcome<M> {
    /// Returns the policy trained against the reward with this name.
    pub fn policy(&self, name: &str) -> Option<&TrainedPolicy<M>> {
        self.policies.iter().find(|p| p.report.name == name)
    }
}
