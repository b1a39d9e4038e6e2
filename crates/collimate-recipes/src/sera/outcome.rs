//! What a run found out.

use std::fmt;

use collimate_core::LeaveReason;
use collimate_data::TokenizeReport;
use collimate_eval::{pearson, spearman};
use collimate_irm::{NoPairReason, ResponseCounts};
use serde::{Deserialize, Serialize};

use super::devices::DeviceReport;
use super::method::Method;
use crate::AnswerReport;

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
    /// Mean implicit reward margin of the offline pairs trained on and of those left; absent where
    /// they were not selected by it.
    pub mean_margin: Option<(f64, Option<f64>)>,
    /// How the margins of all offline pairs agree with the judge's score gaps.
    pub offline_agreement: Option<Agreement>,
    /// Overlap (Jaccard) of this selection with that of other weights γ: (γ, overlap); empty
    /// where one model is aligned so far.
    pub gammas: Vec<(f64, f64)>,
    /// Own pairs trained on.
    pub bootstrapped: usize,
    /// How the margins of those agree with the judge's score gaps.
    pub own_agreement: Option<Agreement>,
    /// What became of the responses.
    pub responses: ResponseCounts,
    /// Prompts that gave no pair, by reason.
    pub dropped: Vec<(NoPairReason, usize)>,
    /// Bootstrapped pairs that were not among those kept: the largest margins, or as
    /// `anchors.keep` says.
    pub over_limit: usize,
    /// Own pairs asked for (K̃).
    #[serde(default)]
    pub asked: usize,
    /// Share of the made pairs on which the second policy agrees; absent without one.
    #[serde(default)]
    pub policy_agreement: Option<f64>,
    /// Made pairs dropped because the second policy does not agree.
    #[serde(default)]
    pub disagreeing: usize,
    /// Made pairs dropped because the second policy agrees on too few of all: then there are no own
    /// pairs, and all offline pairs are trained on.
    #[serde(default)]
    pub refused: usize,
    /// Own pairs that each device alone would have kept; empty unless `devices` asks for it.
    #[serde(default)]
    pub devices: Vec<DeviceReport>,
}

/// How implicit reward margins agree with the score gaps of a judge.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Pairs looked at.
    pub pairs: usize,
    /// Share of them where both have the same sign; where one of them is 0, one half.
    pub same_sign: f64,
    /// Pearson's and Spearman's correlation; absent where one of them does not vary.
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

/// How much the offline pairs of two iterations overlap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// Method and iteration.
    pub a: (String, usize),
    /// The other's.
    pub b: (String, usize),
    /// Shared pairs over all pairs of both.
    pub jaccard: f64,
}

/// A share of bootstrapped pairs that [`Method::BestSera`] tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// K̃ as a share of the offline pairs.
    pub bootstrap_share: f64,
    /// The name of its stages.
    pub title: String,
    /// What it is chosen by: the win rate on validation prompts, without a judge the accuracy on
    /// validation pairs.
    pub validation: f64,
    /// Whether it was chosen.
    pub chosen: bool,
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

/// A method's final policy.
#[derive(Debug, Clone)]
pub struct Aligned<M> {
    /// What was run.
    pub method: Method,
    /// Its name with that of the loss: [`Method::title`].
    pub title: String,
    /// The policy, untracked, without adapters.
    pub model: M,
    /// The shares that best-SeRA tried; empty for other methods.
    pub tried: Vec<Tried>,
    /// What happened on the way.
    pub iterations: Vec<IterationReport>,
    /// How its answers do; absent without prompts.
    pub answers: Option<AnswerReport>,
    /// Perplexity of held-out good answers: the alignment tax is how much it rises; absent without
    /// any.
    pub perplexity: Option<f64>,
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
    /// How much the offline pairs that iterations selected overlap.
    pub overlaps: Vec<Overlap>,
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
        // Σ(x − x̄)(y − ȳ) = −.6125, Σ(x − x̄)² = 12.6875, Σ(y − ȳ)² = .1875 by hand.
        let pearson = -0.6125 / (12.6875_f64 * 0.1875).sqrt();
        assert!((found.correlation.unwrap().0 - pearson).abs() < 1e-12);
        assert_eq!(Agreement::of(&[], &[]), None);
        let flat = Agreement::of(&[1.0, 1.0], &[0.2, -0.1]).unwrap();
        assert_eq!((flat.same_sign, flat.correlation), (0.5, None));
    }
}
