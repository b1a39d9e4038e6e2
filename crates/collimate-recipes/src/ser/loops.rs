//! The loops: label, filter, retrain.

use std::time::Instant;

use collimate_core::PreferencePair;
use collimate_data::{Auditor, HiddenLabelPool, SelfLabelledPair, TextTokenizer, TokenizedPair};
use collimate_eval::{Accuracy, PrecisionPoint};
use collimate_nn::HfReward;
use collimate_reward::RewardModel;
use collimate_run::RunContext;
use collimate_status::{Decision, FilterConfig, PairFilter, probability};
use collimate_train::hash_json;
use serde::{Deserialize, Serialize};

use super::config::{RetrainFrom, SerConfig};
use super::controls;
use super::data::SerData;
use super::final_test;
use super::fingerprint::fingerprint;
use super::outcome::{EvolvedReward, LoopReport, PoolReport, SerOutcome, Steps, TrainedReward};
use super::overlap;
use super::session::{Session, Stage, for_scores};
use super::warnings::warnings;
use crate::RecipeError;
use crate::groups::groups;

/// Thresholds of Δp at which the precision of self-labels is reported.
const CURVE: [f64; 8] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6];

/// Evolves a reward model from the labelled seed of `data`.
///
/// `start` is the model that the seed stage starts from: an SFT model's backbone with a fresh
/// head. The run folder must have been created with the same options: a killed run goes on where
/// it stopped and ends with the same bytes.
///
/// # Errors
/// Options out of range, data that cannot be tokenised, a loss or score that is not finite, files
/// that cannot be written, an interrupt.
pub fn evolve<B: HfReward>(
    start: &RewardModel<B>,
    tokenizer: &TextTokenizer,
    data: SerData,
    config: &SerConfig,
    context: &mut RunContext<'_>,
) -> Result<SerOutcome<B>, RecipeError> {
    config.check()?;
    let tokenizer = &for_scores(tokenizer, config);
    let mut session = Session {
        config,
        tokenizer,
        run: context.run,
        interrupt: context.interrupt,
        progress: context.progress,
        validation: Vec::new(),
        start: fingerprint(start),
    };
    session.validation = session.encode(&data.validation)?;
    let test = session.encode(&data.test)?;
    let seed = session.encode_different("the labelled seed", &data.seed)?;
    let tokenized = TokenizedPool::new(&session, &data.pool)?;

    let zero = session.train("loop0", start, seed.clone(), None, 0.0)?;
    let main = Evolution {
        name: "",
        filter: config.filter,
        steps: None,
    };
    let loop_inputs = LoopInputs {
        start,
        zero: &zero,
        seed: &seed,
        trained_on: &seed,
        tokenized: &tokenized,
        auditor: data.auditor.as_ref(),
    };
    let evolved = main.run(&mut session, &loop_inputs, data.pool.clone())?;
    let mut models = vec![
        final_test::candidate(
            "loop0",
            &zero.model,
            seed.len(),
            Steps::of(config.retrain_from, zero.steps, &[]),
            zero.validation,
        ),
        final_test::candidate(
            "ser",
            &evolved.model,
            seed.len(),
            evolved.steps(config.retrain_from),
            evolved.validation(),
        ),
    ];
    if config.baseline
        && let Some(labelled) = &data.labelled_pool
    {
        let mut all = seed.clone();
        all.extend(session.encode_different("the labelled pool", labelled)?);
        let pairs = all.len();
        let full = session.train("full", start, all, None, 0.0)?;
        models.push(final_test::candidate(
            "full",
            &full.model,
            pairs,
            Steps::of(config.retrain_from, full.steps, &[]),
            full.validation,
        ));
    }
    for &control in &config.controls {
        let setting = controls::Setting {
            loop_inputs: &loop_inputs,
            evolved: &evolved,
            data: &data,
        };
        models.extend(controls::run(&mut session, control, &setting)?);
    }
    let unseen = overlap::unseen(&data);
    let groups = groups(&data.test);
    let centre = session.centre(&evolved.model, &seed, "ser")?;
    let mut reward_models = Vec::new();
    for candidate in models
        .iter()
        .filter(|candidate| ["loop0", "ser", "full"].contains(&candidate.name()))
    {
        reward_models.push(EvolvedReward {
            name: candidate.name().to_owned(),
            model: candidate.model().clone(),
            centre: match candidate.name() {
                "ser" => centre,
                name => session.centre(candidate.model(), &seed, name)?,
            },
        });
    }
    let (models, significance) =
        final_test::test(&mut session, "test", models, &test, &groups, &unseen)?;
    let warnings = warnings(&evolved.loops, &unseen);
    let seconds = evolved.loops.iter().map(|l| l.seconds).sum();
    Ok(SerOutcome {
        learnt: TrainedReward {
            model: evolved.model,
            centre,
            seed,
            trained_on: evolved.trained_on,
        },
        reward_models,
        self_labels: Vec::new(),
        ask_next: Vec::new(),
        fine_tuning_labels: data.fine_tuning_labels,
        loops: evolved.loops,
        models,
        significance,
        warnings,
        seconds,
    })
}

/// The pool's pairs as ids, by the id that they have in the pool.
pub(crate) struct TokenizedPool {
    pairs: Vec<TokenizedPair>,
    hash: String,
}

impl TokenizedPool {
    pub(crate) fn new(session: &Session<'_>, pool: &HiddenLabelPool) -> Result<Self, RecipeError> {
        // "Chosen" means "shown first" here: the pool has no labels.
        let shown: Vec<PreferencePair> = pool
            .pairs()
            .iter()
            .map(|hidden| PreferencePair {
                prompt: hidden.prompt.clone(),
                chosen: hidden.first.clone(),
                rejected: hidden.second.clone(),
                score_gap: None,
            })
            .collect();
        let pairs = session.encode(&shown)?;
        let hash = hash_json(&pairs);
        Ok(Self { pairs, hash })
    }

    /// A hidden pair in the order in which it is shown.
    fn shown(&self, id: usize) -> TokenizedPair {
        self.pairs[id].clone()
    }

    /// A pair with its self-label.
    fn labelled(&self, pair: &SelfLabelledPair) -> TokenizedPair {
        let mut ids = self.shown(pair.id);
        if !pair.chosen_is_first {
            std::mem::swap(&mut ids.chosen, &mut ids.rejected);
        }
        ids
    }
}

/// The self-labels of one loop, as the journal keeps them.
#[derive(Serialize, Deserialize)]
struct Labels {
    decision: Decision,
    report: PoolReport,
    seconds: f64,
}

/// What loops start from and learn from.
pub(crate) struct LoopInputs<'a, B: HfReward> {
    /// The model that retraining from the start begins with.
    pub(crate) start: &'a RewardModel<B>,
    /// The model that labels first.
    pub(crate) zero: &'a Stage<B>,
    /// Pairs with human labels.
    pub(crate) seed: &'a [TokenizedPair],
    /// What `zero` was trained on: the seed and self-labelled pairs of earlier runs.
    pub(crate) trained_on: &'a [TokenizedPair],
    pub(crate) tokenized: &'a TokenizedPool,
    /// Absent where nobody knows the truth.
    pub(crate) auditor: Option<&'a Auditor>,
}

/// A run of loops with one filter.
pub(crate) struct Evolution<'a> {
    /// Prefix of its stage names.
    pub(crate) name: &'a str,
    pub(crate) filter: FilterConfig,
    /// Optimiser steps of each loop; by default as many as the epochs ask for.
    pub(crate) steps: Option<Vec<u64>>,
}

/// What came out of the loops.
pub(crate) struct Evolved<B: HfReward> {
    pub(crate) model: RewardModel<B>,
    /// All pairs that the last loop was trained on.
    pub(crate) trained_on: Vec<TokenizedPair>,
    pub(crate) loops: Vec<LoopReport>,
    /// What each loop kept.
    pub(crate) kept: Vec<Vec<SelfLabelledPair>>,
}

impl<B: HfReward> Evolved<B> {
    /// Steps behind the last model.
    pub(crate) fn steps(&self, from: RetrainFrom) -> Steps {
        let loops: Vec<u64> = self.loops.iter().map(|l| l.steps).collect();
        Steps::of(from, loops[0], &loops[1..])
    }

    /// Of the last model.
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
        let mut kept = Vec::new();
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
        let max_loops = self.steps.as_ref().map_or(config.max_loops, Vec::len);
        for index in 1..=max_loops {
            let name = match self.name {
                "" => format!("loop{index}"),
                prefix => format!("{prefix}-loop{index}"),
            };
            let inputs = (
                config,
                index,
                pool.len(),
                &tokenized.hash,
                seed,
                &session.start,
            );
            let inputs = hash_json(&inputs);
            let labels = session.cached(&format!("{name}-labels"), &inputs, |session| {
                self.label(session, &name, &model, loop_inputs, &pool)
            })?;
            let taken = pool.take(&labels.decision.selection)?;
            training.extend(taken.iter().map(|pair| tokenized.labelled(pair)));
            kept.push(taken);
            let mut steps = 0;
            let mut seconds = labels.seconds;
            let converged = labels.decision.converged();
            // A control has the main run's steps, whatever its rule keeps.
            if !converged || self.steps.is_some() {
                let from = match config.retrain_from {
                    RetrainFrom::Previous => &model,
                    RetrainFrom::Start => loop_inputs.start,
                };
                let wanted = self.steps.as_ref().map(|steps| steps[index - 1]);
                let stage =
                    session.train(&name, from, training.clone(), wanted, labels.report.centre)?;
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
        })
    }

    /// Scores the pool, finds the status and filters.
    fn label<B: HfReward>(
        &self,
        session: &mut Session<'_>,
        name: &str,
        model: &RewardModel<B>,
        loop_inputs: &LoopInputs<'_, B>,
        pool: &HiddenLabelPool,
    ) -> Result<Labels, RecipeError> {
        let started = Instant::now();
        let answers: Vec<f32> = session
            .scores(model, loop_inputs.seed, name, "seed")?
            .into_iter()
            .flat_map(|(chosen, rejected)| [chosen, rejected])
            .collect();
        let centre = session.config.score_centre.value(&answers)?;
        let shown = pool
            .pairs()
            .iter()
            .map(|p| loop_inputs.tokenized.shown(p.id));
        let shown: Vec<TokenizedPair> = shown.collect();
        let scores = session.scores(model, &shown, name, "pool")?;
        let filter = PairFilter::new(self.filter, centre, pool.initial_len())?;
        let decision = filter.decide(&scores);
        let report = self.audit(&decision, &scores, centre, pool, loop_inputs.auditor)?;
        Ok(Labels {
            decision,
            report,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Compares self-labels with the sealed truth: for the report, never for the training.
    fn audit(
        &self,
        decision: &Decision,
        scores: &[(f32, f32)],
        centre: f64,
        pool: &HiddenLabelPool,
        auditor: Option<&Auditor>,
    ) -> Result<PoolReport, RecipeError> {
        let precision = |labels: &[(usize, bool)]| -> Result<Option<f64>, RecipeError> {
            let Some(auditor) = auditor else {
                return Ok(None);
            };
            Ok(auditor.precision(labels)?.value())
        };
        let id = |index: usize| pool.pairs()[index].id;
        let kept: Vec<(usize, bool)> = decision
            .selection
            .kept
            .iter()
            .map(|kept| (id(kept.index), !kept.swapped))
            .collect();
        let all: Vec<(f64, (usize, bool))> = scores
            .iter()
            .enumerate()
            .map(|(index, &(first, second))| {
                let (p, q) = (probability(first, centre), probability(second, centre));
                ((p - q).abs(), (id(index), first > second))
            })
            .filter(|(delta, _)| *delta > 0.0)
            .collect();
        let mut precision_curve = Vec::new();
        for threshold in CURVE {
            let above: Vec<(usize, bool)> = all
                .iter()
                .filter(|(delta, _)| *delta > threshold)
                .map(|(_, label)| *label)
                .collect();
            precision_curve.push(PrecisionPoint {
                threshold,
                kept: above.len(),
                coverage: above.len() as f64 / scores.len().max(1) as f64,
                precision: precision(&above)?,
            });
        }
        Ok(PoolReport {
            pool: pool.len(),
            status: decision.status,
            counts: decision.counts,
            min_count: decision.min_count,
            kept: kept.len(),
            swapped: decision.selection.swapped(),
            left: decision.selection.left_by_reason(),
            centre,
            probabilities: decision.probabilities,
            label_precision: precision(&kept)?,
            pool_accuracy: precision_curve[0].precision,
            precision_curve,
        })
    }
}
