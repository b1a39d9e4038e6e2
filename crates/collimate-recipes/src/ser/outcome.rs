//! What a run of SER found out.

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

/// What the filter of one loop did with the pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolReport {
    /// Pairs in the pool before.
    pub pool: usize,
    /// The learning status; absent for rules without one.
    pub status: Option<LearningStatus>,
    /// Pairs that met each condition.
    pub counts: PairCounts,
    /// Name of the rule that kept pairs.
    #[serde(default)]
    pub rule: String,
    /// How many a status needed.
    pub min_count: usize,
    /// Pairs kept.
    pub kept: usize,
    /// Of these, with the second answer chosen.
    pub swapped: usize,
    /// Pairs left, by reason.
    pub left: Vec<(LeaveReason, usize)>,
    /// The score that was worth p = ½.
    pub centre: f64,
    /// Mean and spread of p over the pool's answers.
    pub probabilities: Spread,
    /// Mean probability of the kept labels to be right, as the recipe believes; absent where the rule
    /// has no such belief, or nothing was kept.
    #[serde(default)]
    pub expected_precision: Option<f64>,
    /// Share of kept self-labels that agree with the human label; absent if nothing was kept.
    pub label_precision: Option<f64>,
    /// The same over all pairs of the pool (Assumption 1 of the paper: above ½).
    pub pool_accuracy: Option<f64>,
    /// Precision among pairs with Δp above each threshold (Assumption 2).
    pub precision_curve: Vec<PrecisionPoint>,
}

/// One loop: Loop 0 is the seed model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoopReport {
    /// Number of the loop.
    pub index: usize,
    /// What the filter did; absent for Loop 0.
    pub labels: Option<PoolReport>,
    /// Pairs trained on: seed and everything kept so far.
    pub train_pairs: usize,
    /// Human labels used.
    pub human_labels: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// Accuracy on the validation part; absent without one.
    pub validation: Option<Accuracy>,
    /// Reward gaps on the validation part; absent without one.
    pub gap: Option<RewardGap>,
    /// Seconds of labelling, training and evaluation.
    pub seconds: f64,
}

/// Optimiser steps behind a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// From the model that the run started with to this one.
    pub own: u64,
    /// Of all stages that had to be trained to get it, those included whose weights were not used
    /// further (retraining from the start).
    pub all: u64,
}

impl Steps {
    /// After a first stage of `zero` steps and loops of so many; a loop of 0 steps trained nothing.
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

/// A finished model on the test part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// `loop0`, `ser`, `full`, a recipe's or a control's name.
    pub name: String,
    /// Human labels used.
    pub human_labels: usize,
    /// Optimiser steps.
    pub steps: Steps,
    /// Accuracy on the validation part; absent without one.
    pub validation: Option<Accuracy>,
    /// Results on the test part; absent without one.
    pub test: Option<ModelTest>,
}

/// The results of a model on the test part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelTest {
    /// Accuracy on the test part.
    pub accuracy: Accuracy,
    /// Accuracy on the test pairs that share no prompt (without prompts: no text) with the
    /// fine-tuning, training and validation rows; absent if
    /// that is all of them or none.
    pub unseen: Option<Accuracy>,
    /// Interval of the accuracy, by bootstrap over prompts.
    pub interval: Interval,
    /// Whether σ(Δr) means what it says on the test part.
    pub calibration: Calibration,
    /// Score gaps r_w − r_l on the test part.
    pub gaps: Vec<f32>,
}

/// A label that the recipe gave a pair of the pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelfLabel {
    /// The pair, with its label.
    pub pair: SelfLabelledPair,
    /// Probability that the label is right, as the recipe believes: ½ to 1.
    pub probability: f64,
    /// Loop or round that gave the label.
    pub loop_index: usize,
    /// Learning status of that loop; absent for rules without one.
    pub status: Option<LearningStatus>,
    /// Name of the rule that kept the pair.
    pub rule: String,
}

/// A pair of the pool whose human label would teach much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskNext {
    /// The pair, without a label.
    pub pair: HiddenPair,
    /// Mean probability of the seed models that the first answer is better.
    pub probability: f64,
    /// Disagreement of the seed models about the pair, in nats: 0 where they agree, at most ln 2.
    pub disagreement: f64,
}

/// A number of passes over the labels that the cross-fit tried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TriedLength {
    /// Passes over the labels.
    pub epochs: f64,
    /// Mean log loss of the labels, in nats, each predicted by a model that has not seen it, with the
    /// slope fitted.
    pub log_loss: f64,
    /// Accuracy on the same labels.
    pub accuracy: f64,
}

/// Facts on the seed model from the labels alone: each label is predicted by a model that has not seen
/// it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossFitReport {
    /// Parts into which the labels were cut, by prompt.
    pub folds: usize,
    /// The numbers of passes that were tried.
    pub tried: Vec<TriedLength>,
    /// Passes over the labels that Loop 0 takes.
    pub epochs: f64,
    /// Accuracy on the labels.
    pub accuracy: Accuracy,
    /// From the gap of two scores to the probability that the order is right.
    pub calibration: PairCalibration,
    /// How well the calibrated probabilities hold on the labels.
    pub reliability: Calibration,
}

/// How far the seed models agree about the pool.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SeedAgreement {
    /// Number of models; each has seen all labels but those of one fold.
    pub models: usize,
    /// Pairs of the pool.
    pub pairs: usize,
    /// Share of the pairs whose better answer is the same for all of them.
    pub unanimous: f64,
    /// Mean disagreement, in nats: 0 to ln 2.
    pub mean_disagreement: f64,
}

/// A difference of test accuracies with its paired bootstrap interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Significance {
    /// The better one, if all is well.
    pub of: String,
    /// What it is compared with.
    pub over: String,
    /// The difference of accuracies.
    pub difference: Interval,
}

/// An evolved reward model with what it has learnt from: where another round goes on.
#[derive(Debug, Clone)]
pub struct TrainedReward<B: Backbone> {
    /// The model of the last loop, never the best.
    pub model: RewardModel<B>,
    /// The mean score of the labelled seed answers under the model: the score that is worth p = ½
    /// when a policy learns from it, whatever `score_centre` the loops had. A pairwise loss leaves the
    /// offset of the scores free.
    pub centre: f64,
    /// Pairs with human labels, as ids.
    pub seed: Vec<TokenizedPair>,
    /// These and all pairs with self-labels.
    pub trained_on: Vec<TokenizedPair>,
}

/// A reward model as a policy's reward.
#[derive(Debug, Clone)]
pub struct EvolvedReward<B: Backbone> {
    /// `loop0`, `ser`, `full` or `seed_ensemble`.
    pub name: String,
    /// The model, or several whose scores are averaged.
    pub models: Vec<RewardModel<B>>,
    /// The centre of the mean scores, as [`TrainedReward::centre`].
    pub centre: f64,
}

/// A finished run.
#[derive(Debug, Clone)]
pub struct SerOutcome<B: Backbone> {
    /// The evolved reward model and its pairs.
    pub learnt: TrainedReward<B>,
    /// `loop0`, `ser` and, if they were trained, `full` and `seed_ensemble`: rewards for a policy.
    pub reward_models: Vec<EvolvedReward<B>>,
    /// Labelled pairs whose chosen answers the backbone was fine-tuned on before: human labels too.
    pub fine_tuning_labels: usize,
    /// Loop 0 and the loops after it. A loop that found nothing to keep is the last and has no
    /// steps.
    pub loops: Vec<LoopReport>,
    /// Test results: `loop0`, `ser`, `full` (if trained), controls.
    pub models: Vec<ModelReport>,
    /// Paired differences on the test part.
    pub significance: Vec<Significance>,
    /// Facts on the seed model from the labels alone; absent where nothing was cross-fitted.
    pub cross_fit: Option<CrossFitReport>,
    /// How far the seed models agree about the pool; absent where nothing was cross-fitted.
    pub agreement: Option<SeedAgreement>,
    /// Test by cross-fitting whether the main recipe helps; absent where it was not asked for.
    pub gain: Option<GainTest>,
    /// Labels of the pairs of the pool that the last model was trained on.
    pub self_labels: Vec<SelfLabel>,
    /// Pairs of the pool to label next, the most useful first.
    pub ask_next: Vec<AskNext>,
    /// Texts of assumptions that do not hold.
    pub warnings: Vec<String>,
    /// Seconds of the whole run, earlier starts included.
    pub seconds: f64,
}

impl ModelReport {
    /// Accuracy on the test part; absent without one.
    pub fn accuracy(&self) -> Option<f64> {
        self.test.as_ref().map(|test| test.accuracy.accuracy)
    }
}

impl<B: Backbone> SerOutcome<B> {
    /// Pairs of the test part.
    pub fn test_pairs(&self) -> usize {
        let test = self.models.first().and_then(|model| model.test.as_ref());
        test.map_or(0, |test| test.accuracy.pairs)
    }

    /// The test report of a model by name.
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
                    "without test pairs: models of {} folds of the labels order {:.4} of the other \
                     labels right",
                    cross.folds, cross.accuracy.accuracy
                )?;
            }
            if let Some(agreement) = &self.agreement {
                writeln!(
                    f,
                    "{} such models agree on {:.0} % of the pool",
                    agreement.models,
                    100.0 * agreement.unanimous
                )?;
            }
        }
        if self.fine_tuning_labels > 0 {
            writeln!(
                f,
                "human labels: {} of the seed, and {} whose chosen answers were for fine-tuning",
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
