//! What a run found out.

use collimate_core::LeaveReason;
use collimate_data::TokenizeReport;
use collimate_eval::Interval;
use collimate_irm::{DropReason, ResponseCounts};
use serde::{Deserialize, Serialize};

use super::config::Method;

/// Where the pairs of an iteration came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SelectionReport {
    /// Offline pairs trained on.
    pub offline: usize,
    /// Offline pairs left, by reason.
    pub left: Vec<(LeaveReason, usize)>,
    /// Share of the offline pairs trained on whose label was swapped; absent where not known.
    pub noisy_share: Option<f64>,
    /// The same among all offline pairs.
    pub noisy_share_of_all: Option<f64>,
    /// Mean margin of the offline pairs trained on and of those left.
    pub mean_margin: Option<(f64, Option<f64>)>,
    /// Bootstrapped pairs trained on.
    pub bootstrapped: usize,
    /// What became of the responses.
    pub responses: ResponseCounts,
    /// Prompts that gave no pair, by reason.
    pub dropped: Vec<(DropReason, usize)>,
    /// Bootstrapped pairs that were not among the largest margins.
    pub over_limit: usize,
}

/// One iteration of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IterationReport {
    /// Number of the iteration, from 1.
    pub iteration: usize,
    /// Its pairs.
    pub selection: SelectionReport,
    /// Optimiser steps of this iteration.
    pub steps: u64,
    /// Share of validation pairs whose chosen completion gained more log-probability since the
    /// start (SimPO: has the larger mean); a tie counts one half. Absent without validation pairs.
    pub validation_accuracy: Option<f64>,
    /// Mean log-probabilities on the validation pairs (chosen, rejected), in nats.
    pub validation_logps: Option<(f64, f64)>,
    /// Seconds of selection and training.
    pub seconds: f64,
}

/// How a policy's answers to the prompts do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerReport {
    /// Mean score.
    pub mean_score: Interval,
    /// Share of prompts on which the score is above that of the start's answer; ties count one
    /// half.
    pub win_rate: Interval,
    /// Prompts won, tied and lost against the start's answers.
    pub counts: (usize, usize, usize),
    /// Mean length in tokens.
    pub mean_tokens: f64,
    /// Share of answers that ended by themselves.
    pub finished: f64,
    /// Correlation of the implicit reward of its answers with their length (Pearson, Spearman);
    /// absent where one of them does not vary.
    pub reward_length: Option<(f64, f64)>,
    /// The same with the score.
    pub reward_score: Option<(f64, f64)>,
    /// The first answers.
    pub samples: Vec<Sample>,
}

/// A method's final policy.
#[derive(Debug, Clone)]
pub struct Aligned<M> {
    /// What was run.
    pub method: Method,
    /// The policy, untracked, without adapters.
    pub model: M,
    /// What happened on the way.
    pub iterations: Vec<IterationReport>,
    /// How its answers do; absent without prompts.
    pub answers: Option<AnswerReport>,
    /// Perplexity of held-out good answers: the alignment tax is how much it rises; absent without
    /// any.
    pub perplexity: Option<f64>,
}

/// An answer of a final policy beside the start's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The prompt, as a person reads it.
    pub prompt: String,
    /// The policy's answer.
    pub answer: String,
    /// Its score.
    pub score: f64,
    /// The start's answer.
    pub start_answer: String,
    /// Its score.
    pub start_score: f64,
}

/// Everything that a run found out.
#[derive(Debug, Clone)]
pub struct SeraOutcome<M> {
    /// In the order of the configuration.
    pub policies: Vec<Aligned<M>>,
    /// The start's own answers.
    pub start_answers: Option<AnswerReport>,
    /// The start's perplexity of held-out good answers.
    pub start_perplexity: Option<f64>,
    /// Who scored the answers.
    pub judge: Option<String>,
    /// Training pairs.
    pub pairs: usize,
    /// What tokenisation did to them.
    pub tokenize: TokenizeReport,
    /// Seconds of the whole run.
    pub seconds: f64,
}

impl<M> SeraOutcome<M> {
    /// The policy of a method.
    pub fn policy(&self, method: Method) -> Option<&Aligned<M>> {
        self.policies.iter().find(|p| p.method == method)
    }
}
