//! The recipe `noisy_ensemble`: several seed models, trained with token noise, label the whole
//! pool; students, also trained with noise, learn these labels and label the pool again.

use std::time::Instant;

use collimate_core::{Kept, LeaveReason, Left, Selection};
use collimate_data::{HiddenLabelPool, TokenizedPair};
use collimate_nn::HfReward;
use collimate_reward::RewardModel;
use collimate_status::{Decision, PairCalibration, PairCounts, Spread};
use collimate_train::hash_json;
use serde::{Deserialize, Serialize};

use super::audit::Audit;
use super::config::RetrainFrom;
use super::loops::{Evolved, LoopInputs, PROBABILITIES, Teachers};
use super::outcome::{LoopReport, PoolReport, SelfLabel};
use super::recipe::{Heads, Recipe};
use super::session::{Lesson, Session};
use crate::RecipeError;

/// Labels of a round, as stored in the journal.
#[derive(Serialize, Deserialize)]
struct Labels {
    /// Probability of each pair of the pool that its first answer is better.
    targets: Vec<f64>,
    decision: Decision,
    report: PoolReport,
    seconds: f64,
}

/// Runs the recipe; the names of its stages begin with `prefix`.
pub(crate) fn run<B: HfReward>(
    session: &mut Session<'_>,
    prefix: &str,
    inputs: &LoopInputs<'_, B>,
    pool: &HiddenLabelPool,
) -> Result<Evolved<B>, RecipeError> {
    let config = session.config.ensemble;
    let named = |name: String| match prefix {
        "" => name,
        prefix => format!("{prefix}-{name}"),
    };
    let started = Instant::now();
    let mut seed_teachers = Teachers::none();
    for index in 1..=config.models {
        let lesson = Lesson {
            noise: config.noise,
            ..Lesson::plain(
                inputs.trained_on.to_vec(),
                inputs.seed_length(session.config, config.passes),
            )
        };
        let name = named(format!("teacher{index}"));
        let start = start_of(session, inputs, &name);
        let stage = session.train_unwatched(&name, &start, lesson)?;
        seed_teachers.steps += stage.steps;
        seed_teachers.models.push(stage.model);
    }
    let mut seconds = started.elapsed().as_secs_f64();
    let zero = inputs.zero;
    let mut loops = vec![LoopReport {
        index: 0,
        labels: None,
        train_pairs: inputs.trained_on.len(),
        human_labels: inputs.seed.len(),
        steps: zero.steps,
        validation: zero.validation,
        gap: zero.gap,
        seconds: zero.seconds,
    }];
    let mut teachers = seed_teachers.models.clone();
    let mut further_steps = seed_teachers.steps;
    let mut model = zero.model.clone();
    let mut last = None;
    for round in 1..=config.rounds {
        let hash = (
            session.config,
            round,
            inputs.tokenized.hash(),
            inputs.seed,
            &session.start,
        );
        let hash = hash_json(&hash);
        let name = named(format!("round{round}-labels"));
        let labels = session.cached(&name, &hash, |session| {
            label(session, &name, &teachers, inputs, pool)
        })?;
        let mut pairs = inputs.trained_on.to_vec();
        let mut targets = vec![1.0; pairs.len()];
        pairs.extend(inputs.tokenized.shown_of(pool));
        targets.extend(labels.targets.iter().map(|target| *target as f32));
        let count = if round == config.rounds {
            1
        } else {
            config.students
        };
        let length = session.student_steps(pairs.len(), zero.steps);
        let mut students = Vec::new();
        let mut report = None;
        for index in 1..=count {
            let lesson = Lesson {
                targets: Some(targets.clone()),
                noise: config.noise,
                ..Lesson::plain(pairs.clone(), length)
            };
            let name = named(format!("round{round}-student{index}"));
            let start = start_of(session, inputs, &name);
            let stage = session.train(&name, &start, lesson)?;
            seconds += stage.seconds;
            students.push(stage.model);
            match report {
                None => report = Some((stage.validation, stage.gap, stage.steps)),
                Some(_) => further_steps += stage.steps,
            }
        }
        let (validation, gap, steps) = report.unwrap_or((zero.validation, zero.gap, 0));
        loops.push(LoopReport {
            index: round,
            labels: Some(labels.report.clone()),
            train_pairs: pairs.len(),
            human_labels: inputs.seed.len(),
            steps,
            validation,
            gap,
            seconds: std::mem::take(&mut seconds) + labels.seconds,
        });
        model = students[0].clone();
        teachers = students;
        last = Some((round, labels));
    }
    let mut evolved = Evolved {
        model,
        trained_on: inputs.trained_on.to_vec(),
        loops,
        kept: Vec::new(),
        self_labels: Vec::new(),
        teachers: seed_teachers,
        further_steps,
        retrain_from: RetrainFrom::Start,
    };
    if let Some((round, labels)) = last {
        let selection = &labels.decision.selection;
        let kept = pool.clone().take(selection)?;
        let found = kept.iter().zip(&selection.kept);
        evolved
            .self_labels
            .extend(found.map(|(pair, kept)| SelfLabel {
                pair: pair.clone(),
                probability: Some(kept.score),
                loop_index: round,
                status: None,
                rule: Recipe::NoisyEnsemble.name().to_owned(),
            }));
        let hard = kept.iter().map(|pair| inputs.tokenized.labelled(pair));
        evolved.trained_on.extend(hard);
        evolved.kept.push(kept);
    }
    Ok(evolved)
}

/// Returns the model that a member of the ensemble starts from.
fn start_of<B: HfReward>(
    session: &Session<'_>,
    inputs: &LoopInputs<'_, B>,
    stage: &str,
) -> RewardModel<B> {
    let start = inputs.start.clone();
    match session.config.ensemble.heads {
        Heads::Same => start,
        Heads::Fresh => {
            let pooling = start.pooling();
            RewardModel::with_fresh_head(start.backbone, pooling, session.key(stage))
        }
    }
}

/// Labels each pair with a probability from the teachers' mean score gap o: σ(s · o / mean |o|).
fn label<B: HfReward>(
    session: &mut Session<'_>,
    name: &str,
    teachers: &[RewardModel<B>],
    inputs: &LoopInputs<'_, B>,
    pool: &HiddenLabelPool,
) -> Result<Labels, RecipeError> {
    let started = Instant::now();
    let shown: Vec<TokenizedPair> = inputs.tokenized.shown_of(pool);
    let mut gaps = vec![0.0; shown.len()];
    for (index, teacher) in teachers.iter().enumerate() {
        let stage = format!("{name}-{}", index + 1);
        let scores = session.scores(teacher, &shown, &stage, "pool")?;
        for (sum, (first, second)) in gaps.iter_mut().zip(scores) {
            *sum += (f64::from(first) - f64::from(second)) / teachers.len() as f64;
        }
    }
    let (targets, decision) = soft_labels(&gaps, session.config.ensemble.sharpness);
    let confidence: Vec<f64> = targets.iter().map(|p| p.max(1.0 - p)).collect();
    let first_wins: Vec<bool> = gaps.iter().map(|gap| *gap > 0.0).collect();
    let audit = Audit {
        pool,
        auditor: inputs.auditor,
        thresholds: PROBABILITIES,
    };
    let report = PoolReport {
        rule: Recipe::NoisyEnsemble.name().to_owned(),
        ..audit.report(&decision, &confidence, &first_wins)?
    };
    Ok(Labels {
        targets,
        decision,
        report,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Returns the probabilities of all pairs, and a decision that keeps all pairs except ties.
fn soft_labels(gaps: &[f64], sharpness: f64) -> (Vec<f64>, Decision) {
    let n = gaps.len().max(1) as f64;
    let scale = gaps.iter().map(|gap| gap.abs()).sum::<f64>() / n;
    let slope = if scale > 0.0 { sharpness / scale } else { 0.0 };
    let calibration = PairCalibration { slope };
    let targets: Vec<f64> = gaps
        .iter()
        .map(|gap| calibration.probability(*gap))
        .collect();
    let mut selection = Selection::default();
    for (index, (&gap, &p)) in gaps.iter().zip(&targets).enumerate() {
        match gap == 0.0 {
            true => selection.left.push(Left {
                index,
                reason: LeaveReason::Tie,
            }),
            false => selection.kept.push(Kept {
                index,
                swapped: gap < 0.0,
                score: p.max(1.0 - p),
            }),
        }
    }
    let sure = || targets.iter().map(|p| p.max(1.0 - p));
    let mean = sure().sum::<f64>() / n;
    let probabilities = Spread {
        mean,
        sd: (sure().map(|p| (p - mean).powi(2)).sum::<f64>() / n).sqrt(),
        min: sure().fold(f64::INFINITY, f64::min).min(1.0),
        max: sure().fold(0.0, f64::max),
    };
    let counts = PairCounts {
        pairs: gaps.len(),
        ties: selection.left.len(),
        ..PairCounts::default()
    };
    let decision = Decision {
        status: None,
        selection,
        counts,
        min_count: 0,
        probabilities,
    };
    (targets, decision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_labels_are_scaled_by_the_mean_gap() {
        // Mean |o| = 2: σ(1.2 · 4 / 2) = σ(2.4), σ(−1.2), a tie.
        let (targets, decision) = soft_labels(&[4.0, -2.0, 0.0], 1.2);
        for (found, wanted) in targets.iter().zip([0.916_827_303_5, 0.231_475_216_5, 0.5]) {
            assert!((found - wanted).abs() < 1e-9, "{found} for {wanted}");
        }
        let kept: Vec<(usize, bool)> = decision
            .selection
            .kept
            .iter()
            .map(|kept| (kept.index, kept.swapped))
            .collect();
        assert_eq!(kept, [(0, false), (1, true)]);
        assert_eq!(decision.selection.left[0].reason, LeaveReason::Tie);
        // The labels do not depend on the scale of the gaps.
        let (scaled, _) = soft_labels(&[0.4, -0.2, 0.0], 1.2);
        assert!(
            targets
                .iter()
                .zip(&scaled)
                .all(|(a, b)| (a - b).abs() < 1e-12)
        );
    }
}
