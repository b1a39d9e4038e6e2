//! Results of a SER run.

use std::fmt;

use collimate_core::LeaveReason;
use collimate_data::{HiddenPair, SelfLabelledPair, TokenizedPair};
use collimate_eval::{Accuracy, Calibration, Interval, PrecisionPoint, RewardGap};
use collimate_nn::Backbone;
use collimate_reward::RewardModel;
use collimate_status::{GainTest, LearningStatus, PairCalibration, PairCounts, Spread};
use serde::{Deserialize, Serialize};

use super::config::RetrainFrom;
use super::verdict::verdict;

/// Report of one loop's filter on the pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolReport {
    /// Number of pairs in the pool before the loop.
    pub pool: usize,
    /// Learning status; absent for rules without one.
    pub status: Option<LearningStatus>,
    /// Numbers of pairs that met each condition.
    pub counts: PairCounts,
    /// Name of the rule that kept pairs.
    #[serde(default)]
    pub rule: String,
    /// Number of pairs that a status requires.
    pub min_count: usize,
    /// Number of pairs kept.
    pub kept: usize,
    /// Number of kept pairs whose second answer was chosen.
    pub swapped: usize,
    /// Numbers of pairs left in the pool, by reason.
    pub left: Vec<(LeaveReason, usize)>,
    /// Score centre: a score equal to it has probability ½.
    pub centre: f64,
    /// Mean and spread of p over the pool's answers.
    pub probabilities: Spread,
    /// Mean probability that the kept labels are right, as estimated by the recipe. Absent if
    /// nothing was kept or the recipe has no estimate.
    #[serde(default)]
    pub expected_precision: Option<f64>,
    /// Share of kept self-labels that agree with the human labels (precision). Absent if nothing
    /// was kept or the human labels are not known.
    pub label_precision: Option<f64>,
    /// Share of all self-labels of the pool that agree with the human labels, without ties
    /// (Assumption 1 of the paper: above ½).
    pub pool_accuracy: Option<f64>,
    /// Precision of the self-labels whose confidence is above each threshold (Assumption 2 of the
    /// paper). The confidence is Δp for `paper`, else the probability of the label.
    pub precision_curve: Vec<PrecisionPoint>,
}

/// Report of one loop; Loop 0 is the seed model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoopReport {
    /// Number of the loop.
    pub index: usize,
    /// Report of the filter; absent for Loop 0.
    pub labels: Option<PoolReport>,
    /// Number of pairs trained on: the seed and all pairs kept so far.
    pub train_pairs: usize,
    /// Number of human labels used.
    pub human_labels: usize,
    /// Number of optimiser steps.
    pub steps: u64,
    /// Accuracy on the validation part; absent without a validation part.
    pub validation: Option<Accuracy>,
    /// Reward gaps on the validation part; absent without a validation part.
    pub gap: Option<RewardGap>,
    /// Seconds of labelling, training and evaluation.
    pub seconds: f64,
}

/// Optimiser steps behind a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// Number of steps from the run's start model to this model.
    pub own: u64,
    /// Number of steps of all stages that were trained to get this model. It includes stages whose
    /// weights were dropped because retraining starts from the start model.
    pub all: u64,
}

impl Steps {
    /// Counts the steps after a first stage of `zero` steps and these loops; a loop of 0 steps
    /// trained nothing.
    pub(crate) fn of(from: RetrainFrom, zero: u64, loops: &[u64]) -> Self {
        let all = zero + loops.iter().sum::<u64>();
        let last = loops.iter().rfind(|steps| **steps > 0);
        let own = match (from, last) {
            (RetrainFrom::Start, Some(last)) => *last,
            _ => all,
        };
        Self { own, all }
    }
}

/// A finished model and its results on the test part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// Name of the model: `loop0`, `ser`, `full`, or the name of a recipe or control.
    pub name: String,
    /// Number of human labels used.
    pub human_labels: usize,
    /// Optimiser steps behind the model.
    pub steps: Steps,
    /// Accuracy on the validation part; absent without a validation part.
    pub validation: Option<Accuracy>,
    /// Results on the test part; absent without a test part.
    pub test: Option<ModelTest>,
}

/// Results of a model on the test part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelTest {
    /// Accuracy on the test part.
    pub accuracy: Accuracy,
    /// Accuracy on the unseen test pairs. An unseen pair shares no prompt with the fine-tuning,
    /// training and validation rows; a pair without a prompt shares no text. Absent if all test
    /// pairs or none are unseen.
    pub unseen: Option<Accuracy>,
    /// Interval of the accuracy, by bootstrap over prompts.
    pub interval: Interval,
    /// Calibration of σ(Δr) on the test part.
    pub calibration: Calibration,
    /// Margins r_w − r_l on the test part.
    pub gaps: Vec<f32>,
}

/// A label that the recipe gave to a pair of the pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelfLabel {
    /// The pair, with its label.
    pub pair: SelfLabelledPair,
    /// Probability that the label is right, ½ to 1, as estimated by the recipe. Absent if the run
    /// does no cross-fitting.
    pub probability: Option<f64>,
    /// Number of the loop or round that gave the label.
    pub loop_index: usize,
    /// Learning status of that loop; absent for rules without one.
    pub status: Option<LearningStatus>,
    /// Name of the rule that kept the pair.
    pub rule: String,
}

/// A pair of the pool to label next, because its human label would teach much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskNext {
    /// The pair, without a label.
    pub pair: HiddenPair,
    /// Probability that the first answer is better, averaged over the seed models.
    pub probability: f64,
    /// Disagreement of the seed models about the pair, in nats, from 0 (all agree) to ln 2.
    pub disagreement: f64,
}

/// A number of passes over the labels that the cross-fit tried, and its result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TriedLength {
    /// Number of passes over the labels.
    pub epochs: f64,
    /// Mean log loss of the labels, in nats, with a fitted slope. Each label is predicted by a
    /// model that has not seen it.
    pub log_loss: f64,
    /// Accuracy on the same labels.
    pub accuracy: f64,
}

/// Quality of the seed model, estimated from the human labels alone: each label is predicted by a
/// model that has not seen it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossFitReport {
    /// Number of parts into which the labels were cut, by prompt.
    pub folds: usize,
    /// Numbers of passes that were tried.
    pub tried: Vec<TriedLength>,
    /// Number of passes over the labels that Loop 0 takes.
    pub epochs: f64,
    /// Accuracy of the predictions of the labels.
    pub accuracy: Accuracy,
    /// Map from the gap of two scores to the probability that the order is right, for the models of
    /// the folds.
    pub calibration: PairCalibration,
    /// Mean size of Loop 0's gaps on the pool, divided by the mean size of the gaps of the models of
    /// the folds. Loop 0 has learnt from more labels, and mostly has larger gaps. The map of Loop 0
    /// has the slope of `calibration` divided by this number.
    #[serde(default = "one")]
    pub sharpness: f64,
    /// Reliability of the calibrated probabilities on the labels.
    pub reliability: Calibration,
}

fn one() -> f64 {
    1.0
}

/// Agreement of the seed models on the pool.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SeedAgreement {
    /// Number of models; each has seen all labels except those of one fold.
    pub models: usize,
    /// Number of pairs in the pool.
    pub pairs: usize,
    /// Share of the pairs on which all models prefer the same answer.
    pub unanimous: f64,
    /// Mean disagreement, in nats, 0 to ln 2.
    pub mean_disagreement: f64,
}

/// Difference of two test accuracies, with its paired bootstrap interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Significance {
    /// Name of the model that should be the better one.
    pub of: String,
    /// Name of the model that it is compared with.
    pub over: String,
    /// Difference of the accuracies.
    pub difference: Interval,
}

/// An evolved reward model and the pairs that it has learnt from; another round continues from
/// here.
#[derive(Debug, Clone)]
pub struct TrainedReward<B: Backbone> {
    /// Model of the last loop, even if an earlier loop's was better.
    pub model: RewardModel<B>,
    /// Mean score of the labelled seed answers under the model. This is the score centre when a
    /// policy learns from the model, whatever `score_centre` the loops had. A pairwise loss leaves
    /// the offset of the scores free.
    pub centre: f64,
    /// Pairs with human labels, as token ids.
    pub seed: Vec<TokenizedPair>,
    /// Pairs with human labels and all pairs with self-labels.
    pub trained_on: Vec<TokenizedPair>,
}

/// A reward model as a policy's reward.
#[derive(Debug, Clone)]
pub struct EvolvedReward<B: Backbone> {
    /// Name of the reward: `loop0`, `ser`, `full` or `seed_ensemble`.
    pub name: String,
    /// One model, or several models whose scores are averaged.
    pub models: Vec<RewardModel<B>>,
    /// Centre of the mean scores, see [`TrainedReward::centre`].
    pub centre: f64,
}

/// Results of the main recipe before the rest of the run: see
/// [`evolve_with`](super::evolve_with).
#[derive(Debug, Clone, Copy)]
pub struct Evolving<'a, B: Backbone> {
    /// The evolved reward model.
    pub model: &'a RewardModel<B>,
    /// Labels of the pairs of the pool that the model was trained on.
    pub self_labels: &'a [SelfLabel],
    /// Pairs of the pool to label next, the most useful first.
    pub ask_next: &'a [AskNext],
}

/// A finished run.
#[derive(Debug, Clone)]
pub struct SerOutcome<B: Backbone> {
    /// The evolved reward model and its pairs.
    pub learnt: TrainedReward<B>,
    /// Rewards for a policy: `loop0`, `ser` and, if they were trained, `full` and `seed_ensemble`.
    pub reward_models: Vec<EvolvedReward<B>>,
    /// Number of labelled pairs whose chosen answers the backbone was fine-tuned on; these human
    /// labels are used too.
    pub fine_tuning_labels: usize,
    /// Loop 0 and the loops after it. A loop that found nothing to keep is the last one and has no
    /// steps.
    pub loops: Vec<LoopReport>,
    /// Test results of `loop0`, `ser`, other recipes, `full` (if trained) and controls.
    pub models: Vec<ModelReport>,
    /// Paired differences on the test part.
    pub significance: Vec<Significance>,
    /// Quality of the seed model, estimated from the human labels alone; absent without
    /// cross-fitting.
    pub cross_fit: Option<CrossFitReport>,
    /// Agreement of the seed models on the pool; absent without cross-fitting.
    pub agreement: Option<SeedAgreement>,
    /// Cross-fitted test of the main recipe's gain; absent unless `check_gain` is set.
    pub gain: Option<GainTest>,
    /// Self-labels of the pool's pairs on which the last model was trained.
    pub self_labels: Vec<SelfLabel>,
    /// Pairs of the pool to label next, the most useful first.
    pub ask_next: Vec<AskNext>,
    /// Warnings about assumptions that do not hold.
    pub warnings: Vec<String>,
    /// Seconds of the main recipe's loops, including earlier starts.
    pub seconds: f64,
}

impl ModelReport {
    /// Returns the accuracy on the test part; `None` without a test part.
    pub fn accuracy(&self) -> Option<f64> {
        self.test.as_ref().map(|test| test.accuracy.accuracy)
    }
}

impl<B: Backbone> SerOutcome<B> {
    /// Returns the number of test pairs.
    pub fn test_pairs(&self) -> usize {
        let test = self.models.first().and_then(|model| model.test.as_ref());
        test.map_or(0, |test| test.accuracy.pairs)
    }

    /// Returns the report of the model with this name.
    pub fn model_report(&self, name: &str) -> Option<&ModelReport> {
        self.models.iter().find(|model| model.name == name)
    }
}

/// The table of models, what is known without test pairs, and the verdict.
impl<B: Backbone> fmt::Display for SerOutcome<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for model in &self.models {
            let accuracy = model.accuracy();
            let accuracy = accuracy.map_or_else(|| "–".to_owned(), |share| format!("{share:.4}"));
            writeln!(
                f,
                "{:<16} test accuracy {accuracy}  ({} human labels, {} steps)",
                model.name, model.human_labels, model.steps.own
            )?;
        }
        if self.test_pairs() == 0 {
            if let Some(cross) = &self.cross_fit {
                writeln!(
                    f,
                    "no test pairs; cross-validation over {} folds of the labels: accuracy {:.4}",
                    cross.folds, cross.accuracy.accuracy
                )?;
            }
            if let Some(agreement) = &self.agreement {
                writeln!(
                    f,
                    "the {} models of the cross-validation agree on {:.0} % of the pool",
                    agreement.models,
                    100.0 * agreement.unanimous
                )?;
            }
        }
        if self.fine_tuning_labels > 0 {
            writeln!(
                f,
                "human labels: {} for the reward model, and {} whose chosen answers were used for \
                 fine-tuning",
                self.learnt.seed.len(),
                self.fine_tuning_labels,
            )?;
        }
        verdict(self)
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_model_and_of_its_run() {
        let steps = |own, all| Steps { own, all };
        let (previous, start) = (RetrainFrom::Previous, RetrainFrom::Start);
        assert_eq!(Steps::of(previous, 5, &[7, 9, 0]), steps(21, 21));
        assert_eq!(Steps::of(start, 5, &[7, 9, 0]), steps(9, 21));
        assert_eq!(Steps::of(start, 5, &[0]), steps(5, 5));
        assert_eq!(Steps::of(start, 5, &[]), steps(5, 5));
    }
}
