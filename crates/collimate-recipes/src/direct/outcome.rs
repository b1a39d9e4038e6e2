//! Results of direct alignment.

use std::fmt;

use collimate_data::TokenizeReport;

use crate::AnswerReport;

/// A trained policy and its measurements.
#[derive(Debug, Clone)]
pub struct AlignOutcome<M> {
    /// The policy, untracked, without adapters.
    pub model: M,
    /// Name of the loss, which is also the name of the policy in reports and folders.
    pub title: String,
    /// Number of training pairs or of labelled completions.
    pub rows: usize,
    /// Lengths and cuts of the training part.
    pub tokenize: TokenizeReport,
    /// Number of optimiser steps.
    pub steps: u64,
    /// Share of validation pairs whose chosen completion has the larger implicit reward after
    /// training; a tie counts one half. The implicit reward is the gain in log-probability; for
    /// SimPO it is the mean log-probability.
    pub validation_accuracy: Option<f64>,
    /// Mean log-probabilities on the validation pairs (chosen, rejected), in nats.
    pub validation_logps: Option<(f64, f64)>,
    /// The policy's answers, compared with the start model's.
    pub answers: Option<AnswerReport>,
    /// The start model's own answers.
    pub start_answers: Option<AnswerReport>,
    /// Perplexity of held-out good answers under the start model and under the policy.
    pub perplexity: Option<(f64, f64)>,
    /// Name of the scorer of the answers.
    pub judge: Option<String>,
    /// Seconds of training and measuring.
    pub seconds: f64,
}

impl<M> AlignOutcome<M> {
    /// Returns the alignment tax: the relative rise of the perplexity of held-out good answers.
    pub fn tax(&self) -> Option<f64> {
        self.perplexity.map(|(before, after)| after / before - 1.0)
    }
}

impl<M> fmt::Display for AlignOutcome<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} steps over {} rows",
            self.title, self.steps, self.rows
        )?;
        if let Some(answers) = &self.answers {
            write!(
                f,
                ", win rate {:.3}, score {:.3}",
                answers.win_rate.estimate, answers.mean_score.estimate
            )?;
        }
        match self.validation_accuracy {
            Some(accuracy) => write!(f, ", validation {accuracy:.3}"),
            None => Ok(()),
        }
    }
}
