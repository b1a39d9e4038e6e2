//! The loops: label, filter, retrain.

use std::time::Instant;

use collimate_data::{Auditor, HiddenLabelPool, SelfLabelledPair, TokenizedPair};
use collimate_eval::Accuracy;
use collimate_nn::HfReward;
use collimate_reward::RewardModel;
use collimate_status::{
    CalibratedFilter, Decision, FilterConfig, LearningStatus, PairCalibration, PairFilter,
    PairRule, longer_wins, probability,
};
use collimate_train::hash_json;
use serde::{Deserialize, Serialize};

use super::audit::Audit;
use super::config::{RetrainFrom, SerConfig};
use super::cross_fit::CrossFit;
use super::outcome::{LoopReport, PoolReport, SelfLabel, Steps};
use super::recipe::LoopStatus;
use super::session::{Length, Lesson, Session, Stage};
use super::tokenized_pool::TokenizedPool;
use crate::RecipeError;

/// Thresholds of Δp at which the precision of self-labels is reported.
const DELTAS: [f64; 8] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6];

/// Thresholds of the probability of a label at which its precision is reported.
pub(crate) const PROBABILITIES: [f64; 8] = [0.5, 0.55, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95];

/// Largest number of loops with `until_hard`, in multiples of `max_loops`.
const PATIENCE: usize = 4;

/// Self-labels of one loop, as stored in the journal.
#[derive(Serialize, Deserialize)]
struct Labels {
    decision: Decision,
    /// Probability that each kept label is right; absent without an estimate.
    probabilities: Option<Vec<f64>>,
    report: PoolReport,
    seconds: f64,
}

/// Models and pairs from which the loops start and learn.
pub(crate) struct LoopInputs<'a, B: HfReward> {
    /// Model from which retraining starts with `RetrainFrom::Start`.
    pub(crate) start: &'a RewardModel<B>,
    /// Model that labels in the first loop.
    pub(crate) zero: &'a Stage<B>,
    /// Pairs with human labels.
    pub(crate) seed: &'a [TokenizedPair],
    /// Pairs that `zero` was trained on: the seed, and self-labelled pairs of earlier runs.
    pub(crate) trained_on: &'a [TokenizedPair],
    pub(crate) tokenized: &'a TokenizedPool,
    /// Absent if the human labels of the pool are not known.
    pub(crate) auditor: Option<&'a Auditor>,
    /// Absent if the run does no cross-fitting.
    pub(crate) cross: Option<&'a CrossFit>,
    /// Map from a score gap of `zero` to the probability that the order is right. Absent if the run
    /// does no cross-fitting.
    pub(crate) calibration: Option<PairCalibration>,
}

impl<B: HfReward> LoopInputs<'_, B> {
    /// Returns the length of a stage that learns the human labels alone, as a multiple of Loop 0's
    /// length.
    pub(crate) fn seed_length(&self, config: &SerConfig, times: f64) -> Length {
        match (self.cross, times == 1.0) {
            (Some(cross), _) => Length::Epochs(times * cross.report.epochs),
            (None, true) => Length::Configured,
            (None, false) => Length::Epochs(times * config.train.epochs),
        }
    }
}

/// Rule by which a loop keeps pairs.
#[derive(Debug, Clone)]
pub(crate) enum LoopRule {
    /// The paper's filter, with the given status of each loop, if any.
    Paper(FilterConfig, Vec<LoopStatus>),
    /// Keeps pairs by the probability that their label is right.
    Calibrated,
}

impl LoopRule {
    fn name(&self) -> &'static str {
        match self {
            Self::Calibrated => "calibrated",
            Self::Paper(filter, _) => match filter.rule {
                PairRule::Status { .. } => "status",
                PairRule::EasyOnly { .. } => "easy_only",
                PairRule::HardOnly { .. } => "hard_only",
                PairRule::EitherPerPair => "either_per_pair",
                PairRule::Unfiltered => "unfiltered",
                _ => "other",
            },
        }
    }

    /// Returns the paper's filter of a loop; loops count from 1.
    fn of_loop(filter: &FilterConfig, statuses: &[LoopStatus], index: usize) -> FilterConfig {
        let rule = match statuses.get(index - 1) {
            None => filter.rule,
            Some(status) => status.rule(filter.rule),
        };
        FilterConfig { rule, ..*filter }
    }
}

/// A run of loops with one rule.
pub(crate) struct Evolution<'a> {
    /// Prefix of the stage names.
    pub(crate) name: &'a str,
    pub(crate) rule: LoopRule,
    /// Model that the retraining of a loop starts from.
    pub(crate) retrain_from: RetrainFrom,
    /// Optimiser steps of each loop; `None` trains for the configured epochs.
    pub(crate) steps: Option<Vec<u64>>,
}

/// Result of the loops.
pub(crate) struct Evolved<B: HfReward> {
    pub(crate) model: RewardModel<B>,
    /// All pairs that the last loop was trained on.
    pub(crate) trained_on: Vec<TokenizedPair>,
    pub(crate) loops: Vec<LoopReport>,
    /// Pairs that each loop kept.
    pub(crate) kept: Vec<Vec<SelfLabelledPair>>,
    pub(crate) self_labels: Vec<SelfLabel>,
    /// Seed models that labelled the pool together; empty if Loop 0 labelled it alone.
    pub(crate) teachers: Teachers<B>,
    /// Optimiser steps of stages that are not in `loops`: teachers, and students beside the first.
    pub(crate) further_steps: u64,
    pub(crate) retrain_from: RetrainFrom,
}

/// Seed models that label a pool together.
#[derive(Debug, Clone)]
pub(crate) struct Teachers<B: HfReward> {
    pub(crate) models: Vec<RewardModel<B>>,
    /// Optimiser steps of all teachers together.
    pub(crate) steps: u64,
}

impl<B: HfReward> Teachers<B> {
    pub(crate) fn none() -> Self {
        Self {
            models: Vec::new(),
            steps: 0,
        }
    }
}

impl<B: HfReward> Evolved<B> {
    /// Returns the optimiser steps behind the last model.
    pub(crate) fn steps(&self) -> Steps {
        let loops: Vec<u64> = self.loops.iter().map(|l| l.steps).collect();
        let Steps { own, all } = Steps::of(self.retrain_from, loops[0], &loops[1..]);
        Steps {
            own,
            all: all + self.further_steps,
        }
    }

    /// Returns true if a loop trained.
    pub(crate) fn has_trained(&self) -> bool {
        self.loops[1..].iter().any(|l| l.steps > 0)
    }

    /// Returns the validation accuracy of the last model.
    pub(crate) fn validation(&self) -> Option<Accuracy> {
        self.loops[self.loops.len() - 1].validation
    }
}

impl Evolution<'_> {
    pub(crate) fn run<B: HfReward>(
        &self,
        session: &mut Session<'_>,
        loop_inputs: &LoopInputs<'_, B>,
        mut pool: HiddenLabelPool,
    ) -> Result<Evolved<B>, RecipeError> {
        let config = session.config;
        let (zero, seed, tokenized) = (loop_inputs.zero, loop_inputs.seed, loop_inputs.tokenized);
        let mut model = zero.model.clone();
        let mut validation = (zero.validation, zero.gap);
        let mut training = loop_inputs.trained_on.to_vec();
        let (mut kept, mut self_labels) = (Vec::new(), Vec::new());
        let mut seen_hard = false;
        let mut loops = vec![LoopReport {
            index: 0,
            labels: None,
            train_pairs: training.len(),
            human_labels: seed.len(),
            steps: zero.steps,
            validation: zero.validation,
            gap: zero.gap,
            seconds: zero.seconds,
        }];
        let until_hard = config.until_hard && self.steps.is_none();
        let max_loops = match (&self.steps, &self.rule) {
            (Some(steps), _) => steps.len(),
            (None, LoopRule::Paper(_, statuses)) if !statuses.is_empty() => statuses.len(),
            (None, LoopRule::Paper(..)) if until_hard => PATIENCE * config.max_loops,
            (None, _) => config.max_loops,
        };
        for index in 1..=max_loops {
            if until_hard && index > config.max_loops && seen_hard {
                break;
            }
            let name = match self.name {
                "" => format!("loop{index}"),
                prefix => format!("{prefix}-loop{index}"),
            };
            let inputs = (
                config,
                index,
                pool.len(),
                tokenized.hash(),
                seed,
                &session.start,
            );
            let inputs = hash_json(&inputs);
            let labels = session.cached(&format!("{name}-labels"), &inputs, |session| {
                self.label(session, &name, index, &model, loop_inputs, &pool)
            })?;
            let status = labels.decision.status;
            seen_hard |= status == Some(LearningStatus::Hard);
            let taken = pool.take(&labels.decision.selection)?;
            self_labels.extend(taken.iter().enumerate().map(|(at, pair)| SelfLabel {
                pair: pair.clone(),
                probability: labels.probabilities.as_ref().map(|all| all[at]),
                loop_index: index,
                status,
                rule: self.rule.name().to_owned(),
            }));
            training.extend(taken.iter().map(|pair| tokenized.labelled(pair)));
            kept.push(taken);
            let mut steps = 0;
            let mut seconds = labels.seconds;
            let converged = labels.decision.converged();
            // A control trains for the main run's steps even if its rule keeps nothing.
            if !converged || self.steps.is_some() {
                let from = match self.retrain_from {
                    RetrainFrom::Previous => &model,
                    RetrainFrom::Start => loop_inputs.start,
                };
                let wanted = self.steps.as_ref().map(|steps| steps[index - 1]);
                let calibrated = matches!(self.rule, LoopRule::Calibrated);
                let lesson = Lesson {
                    length: match wanted {
                        Some(steps) => Length::Steps(steps),
                        None if calibrated => session.student_steps(training.len(), zero.steps),
                        None => Length::Configured,
                    },
                    noise: if calibrated {
                        config.student_noise
                    } else {
                        0.0
                    },
                    ..Lesson::plain(training.clone(), Length::Configured)
                };
                let stage = session.train(&name, from, lesson)?;
                model = stage.model;
                validation = (stage.validation, stage.gap);
                steps = stage.steps;
                seconds += stage.seconds;
            }
            loops.push(LoopReport {
                index,
                labels: Some(labels.report),
                train_pairs: training.len(),
                human_labels: seed.len(),
                steps,
                validation: validation.0,
                gap: validation.1,
                seconds,
            });
            if converged && self.steps.is_none() {
                break;
            }
        }
        Ok(Evolved {
            model,
            trained_on: training,
            loops,
            kept,
            self_labels,
            teachers: Teachers::none(),
            further_steps: 0,
            retrain_from: self.retrain_from,
        })
    }

    /// Scores the pool, determines the learning status and filters.
    fn label<B: HfReward>(
        &self,
        session: &mut Session<'_>,
        name: &str,
        index: usize,
        model: &RewardModel<B>,
        loop_inputs: &LoopInputs<'_, B>,
        pool: &HiddenLabelPool,
    ) -> Result<Labels, RecipeError> {
        let started = Instant::now();
        let centre = session.score_centre(model, loop_inputs.seed, name)?;
        let shown = loop_inputs.tokenized.shown_of(pool);
        let scores = session.scores(model, &shown, name, "pool")?;
        let fitted = calibration(session, name, index, loop_inputs, &shown, &scores)?;
        // Without an estimate every label may be wrong.
        let sure = fitted.unwrap_or(PairCalibration { slope: 0.0 });
        let decision = match &self.rule {
            LoopRule::Paper(filter, statuses) => {
                let filter = LoopRule::of_loop(filter, statuses, index);
                PairFilter::new(filter, centre, pool.initial_len())?.decide(&scores)
            }
            LoopRule::Calibrated => {
                let config = session.config;
                let of_seed: Vec<(usize, usize)> = lengths(loop_inputs.seed).collect();
                let lengths: Vec<(usize, usize)> = lengths(&shown).collect();
                let mut filter =
                    CalibratedFilter::new(config.calibrated, sure, pool.initial_len())?
                        .with_longer_wins(longer_wins(&of_seed));
                if config.go_anyway {
                    filter = filter.going_anyway();
                }
                filter.decide_of_lengths(&scores, &lengths)
            }
        };
        let gap = |index: usize| f64::from(scores[index].0) - f64::from(scores[index].1);
        let kept = &decision.selection.kept;
        let probabilities: Option<Vec<f64>> = fitted.map(|fitted| {
            let kept = kept.iter();
            kept.map(|kept| fitted.probability(gap(kept.index).abs()))
                .collect()
        });
        let mean = |p: &Vec<f64>| p.iter().sum::<f64>() / p.len() as f64;
        let expected = probabilities.as_ref().filter(|p| !p.is_empty()).map(mean);
        let confidence: Vec<f64> = match &self.rule {
            LoopRule::Paper(..) => {
                let p = |score| probability(score, centre);
                scores.iter().map(|&(a, b)| (p(a) - p(b)).abs()).collect()
            }
            LoopRule::Calibrated => (0..scores.len())
                .map(|index| sure.probability(gap(index).abs()))
                .collect(),
        };
        let thresholds = match &self.rule {
            LoopRule::Paper(..) => DELTAS,
            LoopRule::Calibrated => PROBABILITIES,
        };
        let audit = Audit {
            pool,
            auditor: loop_inputs.auditor,
            thresholds,
        };
        let labels = scores.iter().map(|(first, second)| first > second);
        let report = PoolReport {
            rule: self.rule.name().to_owned(),
            centre,
            expected_precision: expected,
            ..audit.report(&decision, &confidence, &labels.collect::<Vec<_>>())?
        };
        Ok(Labels {
            decision,
            probabilities,
            report,
            seconds: started.elapsed().as_secs_f64(),
        })
    }
}

/// Returns the map from a score gap of a loop's model to the probability that the order is right, or
/// `None` if the run does no cross-fitting.
///
/// The first loop labels with Loop 0, whose map comes from the human labels, by cross-fitting. A
/// later model has learnt from labels of Loop 0, so no labels are held out from it. Its gaps are
/// fitted to the probabilities that Loop 0 gives the pairs left in the pool.
fn calibration<B: HfReward>(
    session: &Session<'_>,
    name: &str,
    index: usize,
    loop_inputs: &LoopInputs<'_, B>,
    shown: &[TokenizedPair],
    scores: &[(f32, f32)],
) -> Result<Option<PairCalibration>, RecipeError> {
    let Some(of_zero) = loop_inputs.calibration.filter(|_| index > 1) else {
        return Ok(loop_inputs.calibration);
    };
    let gap = |&(first, second): &(f32, f32)| f64::from(first) - f64::from(second);
    let zero = session.scores(&loop_inputs.zero.model, shown, name, "pool (Loop 0)")?;
    let targets: Vec<f64> = zero
        .iter()
        .map(|pair| of_zero.probability(gap(pair)))
        .collect();
    let gaps: Vec<f64> = scores.iter().map(gap).collect();
    Ok(Some(PairCalibration::fit_targets(&gaps, &targets)?))
}

/// Returns the lengths of both answers, in tokens.
fn lengths(pairs: &[TokenizedPair]) -> impl Iterator<Item = (usize, usize)> + '_ {
    pairs
        .iter()
        .map(|pair| (pair.chosen.len(), pair.rejected.len()))
}
