//! Results of a SeRA run.

use std::fmt;

use collimate_core::LeaveReason;
use collimate_data::TokenizeReport;
use collimate_eval::{pearson, spearman};
use collimate_irm::{NoPairReason, ResponseCounts};
use serde::{Deserialize, Serialize};

use super::devices::DeviceReport;
use super::method::Method;
use crate::AnswerReport;

/// Numbers of selected and own pairs of an iteration, and how well they agree with the judge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SelectionReport {
    /// Number of offline pairs trained on.
    pub offline: usize,
    /// Numbers of offline pairs left out, by reason.
    pub left: Vec<(LeaveReason, usize)>,
    /// Share of the offline pairs trained on whose label was swapped; absent if not known.
    pub noisy_share: Option<f64>,
    /// Share of all offline pairs whose label was swapped; absent if not known.
    pub noisy_share_of_all: Option<f64>,
    /// Mean implicit reward margins of the offline pairs trained on and of those left out; absent
    /// if they were not selected by margin.
    pub mean_margin: Option<(f64, Option<f64>)>,
    /// Agreement of all offline pairs' margins with the judge's score gaps.
    pub offline_agreement: Option<Agreement>,
    /// Overlap (Jaccard) of this selection with the selection for other weights γ, as (γ, overlap).
    /// Empty while only one model has been aligned.
    pub gammas: Vec<(f64, f64)>,
    /// Number of own pairs trained on.
    pub bootstrapped: usize,
    /// Agreement of the own pairs' margins with the judge's score gaps.
    pub own_agreement: Option<Agreement>,
    /// Counts of the responses, by their use.
    pub responses: ResponseCounts,
    /// Numbers of prompts that gave no pair, by reason.
    pub dropped: Vec<(NoPairReason, usize)>,
    /// Number of own pairs left out because the limit was reached. The rule `anchors.keep` chooses
    /// the kept pairs, by default those with the largest margins.
    pub over_limit: usize,
    /// Number of own pairs asked for (from the share K̃).
    #[serde(default)]
    pub asked: usize,
    /// Share of the own pairs on which the second policy agrees; absent without a second policy.
    #[serde(default)]
    pub policy_agreement: Option<f64>,
    /// Number of own pairs dropped because the second policy disagrees; 0 if all own pairs are
    /// refused.
    #[serde(default)]
    pub disagreeing: usize,
    /// Number of own pairs that were made and are all dropped, because the second policy agrees on
    /// too small a share of them. The iteration then trains on all offline pairs.
    #[serde(default)]
    pub refused: usize,
    /// Reason why a device left no own pairs; absent if no device did.
    #[serde(default)]
    pub no_own_pairs: Option<NoOwnPairs>,
    /// Own pairs that each device alone would have kept; empty unless `devices` asks for it.
    #[serde(default)]
    pub devices: Vec<DeviceReport>,
}

/// Reason why a device of the method `anchored` left no own pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoOwnPairs {
    /// The gate left too few responses to make a pair: the others are unlikely under the start
    /// model. The offline pairs are selected as usual.
    Unlikely,
    /// The second policy agrees on too small a share of the pairs. The iteration trains on all
    /// offline pairs.
    Disagreement,
}

/// Agreement of implicit reward margins with the score gaps of a judge.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Number of pairs compared.
    pub pairs: usize,
    /// Share of pairs whose margin and score gap have the same sign; a pair with a 0 counts one
    /// half.
    pub same_sign: f64,
    /// Correlations of Pearson and Spearman; absent if margins or gaps do not vary.
    pub correlation: Option<(f64, f64)>,
}

impl Agreement {
    pub(crate) fn of(margins: &[f64], gaps: &[f64]) -> Option<Self> {
        let values = margins.iter().zip(gaps).map(|(margin, gap)| {
            let product = margin * gap;
            match product {
                p if p > 0.0 => 1.0,
                p if p < 0.0 => 0.0,
                _ => 0.5,
            }
        });
        let sum: f64 = values.sum();
        let correlation = pearson(margins, gaps)
            .ok()
            .zip(spearman(margins, gaps).ok());
        (!margins.is_empty()).then(|| Self {
            pairs: margins.len(),
            same_sign: sum / margins.len() as f64,
            correlation,
        })
    }
}

/// Overlap of the offline pairs of two iterations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// Method and iteration.
    pub a: (String, usize),
    /// Method and iteration of the other selection.
    pub b: (String, usize),
    /// Number of shared pairs divided by the number of pairs in either selection.
    pub jaccard: f64,
}

/// A share of own pairs that [`Method::BestSera`] tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// K̃ as a share of the offline pairs.
    pub bootstrap_share: f64,
    /// Name of the share's stages.
    pub title: String,
    /// Score by which the share is chosen: the win rate on validation prompts, or without a judge
    /// the accuracy on validation pairs.
    pub validation: f64,
    /// True if this share was chosen.
    pub chosen: bool,
}

/// Report of one iteration of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IterationReport {
    /// Number of the iteration, from 1.
    pub iteration: usize,
    /// Pairs of the iteration.
    pub selection: SelectionReport,
    /// Number of optimiser steps of this iteration.
    pub steps: u64,
    /// Share of validation pairs whose chosen completion has the larger implicit reward; a tie
    /// counts one half. The implicit reward is the gain in log-probability since the start; for
    /// SimPO it is the mean log-probability. Absent without validation pairs.
    pub validation_accuracy: Option<f64>,
    /// Mean log-probabilities on the validation pairs (chosen, rejected), in nats.
    pub validation_logps: Option<(f64, f64)>,
    /// Seconds of selection and training.
    pub seconds: f64,
}

/// A method's final policy.
#[derive(Debug, Clone)]
pub struct Aligned<M> {
    /// Method that was run.
    pub method: Method,
    /// Name of the policy, which ends with the loss's name: [`Method::title`].
    pub title: String,
    /// The policy, untracked, without adapters.
    pub model: M,
    /// The shares that best-SeRA tried; empty for other methods.
    pub tried: Vec<Tried>,
    /// Reports of the iterations.
    pub iterations: Vec<IterationReport>,
    /// The policy's answers, compared with the start model's; absent without a judge.
    pub answers: Option<AnswerReport>,
    /// Perplexity of held-out good answers; absent without held-out answers. The alignment tax is
    /// its rise over the start model's.
    pub perplexity: Option<f64>,
}

/// Results of a run.
#[derive(Debug, Clone)]
pub struct SeraOutcome<M> {
    /// Final policies, in the order of the configuration.
    pub policies: Vec<Aligned<M>>,
    /// The start model's own answers.
    pub start_answers: Option<AnswerReport>,
    /// Perplexity of held-out good answers under the start model.
    pub start_perplexity: Option<f64>,
    /// Overlaps of the offline pairs that iterations selected.
    pub overlaps: Vec<Overlap>,
    /// Name of the scorer of the answers.
    pub judge: Option<String>,
    /// Number of training pairs.
    pub pairs: usize,
    /// Lengths and cuts of the training pairs.
    pub tokenize: TokenizeReport,
    /// Seconds of the whole run.
    pub seconds: f64,
}

impl<M> SeraOutcome<M> {
    /// Returns the policy of a method.
    pub fn policy(&self, method: Method) -> Option<&Aligned<M>> {
        self.policies.iter().find(|p| p.method == method)
    }
}

/// A line for each policy.
impl<M> fmt::Display for SeraOutcome<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for policy in &self.policies {
            write!(f, "{:<32}", policy.title)?;
            if let Some(answers) = &policy.answers {
                write!(
                    f,
                    "win rate {:.3}  score {:.3}  ",
                    answers.win_rate.estimate, answers.mean_score.estimate
                )?;
            }
            let last = policy.iterations.last();
            if let Some(accuracy) = last.and_then(|i| i.validation_accuracy) {
                write!(f, "validation {accuracy:.3}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_that_agree_and_ties() {
        let found = Agreement::of(&[1.0, -2.0, 3.0, 0.5], &[0.2, -0.1, -0.4, 0.0]).unwrap();
        assert_eq!((found.pairs, found.same_sign), (4, 0.625));
        // Σ(x − x̄)(y − ȳ) = −0.6125, Σ(x − x̄)² = 12.6875, Σ(y − ȳ)² = 0.1875 by hand.
        let pearson = -0.6125 / (12.6875_f64 * 0.1875).sqrt();
        assert!((found.correlation.unwrap().0 - pearson).abs() < 1e-12);
        assert_eq!(Agreement::of(&[], &[]), None);
        let flat = Agreement::of(&[1.0, 1.0], &[0.2, -0.1]).unwrap();
        assert_eq!((flat.same_sign, flat.correlation), (0.5, None));
    }
}
