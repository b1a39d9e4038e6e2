//! The test part, once at the end; then tables, plots and `summary.json`.

use collimate_data::TokenizedPair;
use collimate_eval::{Accuracy, Bootstrap, Groups, calibration, outcomes, pairwise_accuracy};
use collimate_nn::{Backbone, HfReward};
use collimate_reward::RewardModel;
use collimate_status::{CostModel, LearningStatus};
use collimate_train::{BarChart, BarSeries, Histogram, LineChart, LineSeries, Report, RunFolder};
use serde_json::{Map, Value, json};

use super::config::SerConfig;
use super::outcome::{LoopReport, ModelReport, SerOutcome, Significance};
use super::score::scores;
use super::session::Session;
use crate::RecipeError;

/// Bins of the reliability table.
const BINS: usize = 10;

/// A finished model that waits for the test part.
pub(crate) struct Candidate<B: Backbone> {
    name: String,
    model: RewardModel<B>,
    human_labels: usize,
    steps: u64,
    validation: Accuracy,
}

pub(crate) fn candidate<B: Backbone>(
    name: &str,
    model: &RewardModel<B>,
    human_labels: usize,
    steps: u64,
    validation: Accuracy,
) -> Candidate<B> {
    Candidate {
        name: name.to_owned(),
        model: model.clone(),
        human_labels,
        steps,
        validation,
    }
}

/// Evaluates all models on the test part and compares each with Loop 0.
pub(crate) fn test<B: HfReward>(
    session: &mut Session<'_>,
    candidates: Vec<Candidate<B>>,
    test: &[TokenizedPair],
    unseen: &[bool],
) -> Result<(Vec<ModelReport>, Vec<Significance>), RecipeError> {
    let names: Vec<String> = candidates.iter().map(|c| c.name.clone()).collect();
    let inputs = (session.config, names, test.len());
    session.once("test", &inputs, |session| {
        let key = session.key("test");
        let bootstrap = Bootstrap::default();
        let mut models: Vec<ModelReport> = Vec::new();
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for candidate in candidates {
            let part = scores(
                &candidate.model,
                test,
                &candidate.name,
                "test",
                session.progress,
            )?;
            let right = outcomes(&part)?;
            let fresh: Vec<(f32, f32)> = part
                .iter()
                .zip(unseen)
                .filter(|(_, unseen)| **unseen)
                .map(|(pair, _)| *pair)
                .collect();
            let test_unseen = match fresh.len() {
                0 => None,
                n if n == part.len() => None,
                _ => Some(pairwise_accuracy(&fresh)?),
            };
            models.push(ModelReport {
                name: candidate.name,
                human_labels: candidate.human_labels,
                steps: candidate.steps,
                validation: candidate.validation,
                test: pairwise_accuracy(&part)?,
                test_unseen,
                interval: bootstrap.mean(&right, Groups::Items, key)?,
                calibration: calibration(&part, BINS)?,
                gaps: part
                    .iter()
                    .map(|(chosen, rejected)| chosen - rejected)
                    .collect(),
            });
            rows.push(right);
        }
        let mut significance = Vec::new();
        let mut compare = |of: usize, over: usize| -> Result<(), RecipeError> {
            significance.push(Significance {
                of: models[of].name.clone(),
                over: models[over].name.clone(),
                difference: bootstrap.paired_difference(
                    &rows[of],
                    &rows[over],
                    Groups::Items,
                    key,
                )?,
            });
            Ok(())
        };
        for of in 1..models.len() {
            compare(of, 0)?;
        }
        for over in 2..models.len() {
            compare(1, over)?;
        }
        Ok((models, significance))
    })
}

/// What `summary.json` says.
pub fn summary<B: Backbone>(outcome: &SerOutcome<B>, config: &SerConfig) -> Value {
    let mut accuracy = Map::new();
    let mut controls = Map::new();
    for model in &outcome.models {
        let target = match model.name.as_str() {
            "loop0" | "ser" | "full" => &mut accuracy,
            _ => &mut controls,
        };
        target.insert(model.name.clone(), json!(model.test.accuracy));
    }
    let mut summary = json!({
        "accuracy": accuracy,
        "test_pairs": outcome.models.first().map_or(0, |m| m.test.pairs),
        "seed": config.seed,
        "seed_share": config.seed_share,
        "loops": outcome.loops.iter().map(loop_summary).collect::<Vec<_>>(),
        "models": outcome.models.iter().map(|m| json!({
            "name": m.name, "human_labels": m.human_labels, "steps": m.steps,
            "validation_accuracy": m.validation.accuracy, "test_accuracy": m.test.accuracy,
            "test_ties": m.test.ties,
            "test_unseen": m.test_unseen.map(|a| json!({"pairs": a.pairs, "accuracy": a.accuracy})),
            "interval": [m.interval.low, m.interval.high],
            "ece": m.calibration.ece, "brier": m.calibration.brier,
        })).collect::<Vec<_>>(),
        "differences": outcome.significance.iter().map(|s| json!({
            "of": s.of, "over": s.over, "estimate": s.difference.estimate,
            "interval": [s.difference.low, s.difference.high],
        })).collect::<Vec<_>>(),
        "warnings": outcome.warnings,
        "seconds": outcome.seconds,
    });
    if !controls.is_empty() {
        summary["controls"] = Value::Object(controls);
    }
    if let Some(recovery) = recovery(outcome) {
        summary["recovery"] = json!(recovery);
    }
    summary
}

/// (SER − Loop 0) / (full − Loop 0), where full is better than Loop 0.
fn recovery<B: Backbone>(outcome: &SerOutcome<B>) -> Option<f64> {
    let accuracy = |name| outcome.model_report(name).map(|m| m.test.accuracy);
    let (zero, ser, full) = (accuracy("loop0")?, accuracy("ser")?, accuracy("full")?);
    (full > zero).then(|| (ser - zero) / (full - zero))
}

fn status_name(l: &LoopReport) -> &'static str {
    match l.labels.as_ref().map(|labels| labels.status) {
        None => "seed",
        Some(None) => "no status",
        Some(Some(LearningStatus::Easy)) => "easy",
        Some(Some(LearningStatus::Hard)) => "hard",
        Some(Some(LearningStatus::Converged)) => "converged",
    }
}

fn loop_summary(l: &LoopReport) -> Value {
    let mut value = json!({
        "loop": l.index,
        "status": status_name(l),
        "accuracy": l.validation.accuracy,
        "kept": l.labels.as_ref().map_or(0, |x| x.kept),
        "swapped": l.labels.as_ref().map_or(0, |x| x.swapped),
        "label_precision": l.labels.as_ref().and_then(|x| x.label_precision),
        "train_pairs": l.train_pairs,
        "human_labels": l.human_labels,
        "steps": l.steps,
        "mean_abs_gap": l.gap.mean_abs,
        "mean_abs_gap_same_side": l.gap.mean_abs_same_side,
        "seconds": l.seconds,
    });
    if let Some(labels) = &l.labels {
        value["pool"] = json!(labels.pool);
        value["left"] = json!(
            labels
                .left
                .iter()
                .map(|(r, n)| (json!(r), n))
                .collect::<Vec<_>>()
        );
        value["centre"] = json!(labels.centre);
        value["p"] = json!(labels.probabilities);
        value["pool_accuracy"] = json!(labels.pool_accuracy);
        value["precision_curve"] = json!(labels.precision_curve);
    }
    value
}

fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

fn optional(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

/// Writes `summary.json`, `report.md` and its plots. `about` is a paragraph on the data and the
/// model; `extra` goes into the summary as it is.
///
/// # Errors
/// A file that cannot be written, or a plot that cannot be drawn.
pub fn write_report<B: Backbone>(
    outcome: &SerOutcome<B>,
    config: &SerConfig,
    run: &RunFolder,
    about: &str,
    extra: &Map<String, Value>,
) -> Result<(), RecipeError> {
    let mut summary = summary(outcome, config);
    for (name, value) in extra {
        summary[name] = value.clone();
    }
    run.write_summary(&summary)?;
    let report = models(
        Report::new("Self-evolved reward model").text(about),
        outcome,
    );
    let report = loops(report, outcome);
    let report = plots(report, outcome);
    let report = cost(report, outcome, config);
    report.write(run.path())?;
    Ok(())
}

fn models<B: Backbone>(mut report: Report, outcome: &SerOutcome<B>) -> Report {
    report = report.section("Test accuracy").text(
        "Share of test pairs whose chosen answer scores higher; a tie counts one half. The \
         interval is a 95 % bootstrap over pairs. The test part was looked at once, after all \
         training. *Unseen* is the accuracy on test pairs that share no prompt or text with the \
         training part, where that is not all of them.",
    );
    let rows = outcome.models.iter().map(|m| {
        vec![
            m.name.clone(),
            m.human_labels.to_string(),
            m.steps.to_string(),
            percent(m.test.accuracy),
            format!("{} – {}", percent(m.interval.low), percent(m.interval.high)),
            m.test.ties.to_string(),
            m.test_unseen.map_or("–".to_owned(), |a| {
                format!("{} of {}", percent(a.accuracy), a.pairs)
            }),
            percent(m.validation.accuracy),
            format!("{:.3}", m.calibration.ece),
        ]
    });
    report = report.table(
        [
            "model",
            "human labels",
            "steps",
            "test",
            "95 % interval",
            "ties",
            "unseen",
            "validation",
            "ECE",
        ],
        rows.collect::<Vec<_>>(),
    );
    if let Some(recovery) = recovery(outcome) {
        report = report.text(&format!(
            "SER recovers **{}** of the gap between the seed model and the model with all labels.",
            percent(recovery)
        ));
    }
    let rows = outcome.significance.iter().map(|s| {
        vec![
            format!("{} − {}", s.of, s.over),
            format!("{:+.1} points", 100.0 * s.difference.estimate),
            format!(
                "{:+.1} to {:+.1}",
                100.0 * s.difference.low,
                100.0 * s.difference.high
            ),
        ]
    });
    report = report.table(
        ["difference", "estimate", "95 % interval (paired bootstrap)"],
        rows.collect::<Vec<_>>(),
    );
    for warning in &outcome.warnings {
        report = report.text(&format!("**Warning.** {warning}"));
    }
    report
}

fn loops<B: Backbone>(report: Report, outcome: &SerOutcome<B>) -> Report {
    let rows = outcome.loops.iter().map(|l| {
        let labels = l.labels.as_ref();
        vec![
            l.index.to_string(),
            status_name(l).to_owned(),
            labels.map_or("–".to_owned(), |x| x.pool.to_string()),
            labels.map_or("–".to_owned(), |x| x.kept.to_string()),
            labels.map_or("–".to_owned(), |x| x.swapped.to_string()),
            optional(labels.and_then(|x| x.label_precision), percent),
            optional(labels.and_then(|x| x.pool_accuracy), percent),
            labels.map_or("–".to_owned(), |x| {
                format!("{:.2} ± {:.2}", x.probabilities.mean, x.probabilities.sd)
            }),
            l.train_pairs.to_string(),
            l.steps.to_string(),
            percent(l.validation.accuracy),
            format!("{:.2}", l.gap.mean_abs),
            optional(l.gap.mean_abs_same_side, |x| format!("{x:.2}")),
            format!("{:.0} s", l.seconds),
        ]
    });
    report
        .section("Loops")
        .text(
            "Loop 0 is the seed model. *Precision* is the share of kept self-labels that agree \
             with the sealed human label, *pool* precision that of all self-labels; both are for \
             this report and never used in training. *p* is the mean and spread of σ(score) over \
             the pool's answers; *gap* is the mean |Δr| on the validation part, *same side* that \
             of pairs with both answers above or both below the centre.",
        )
        .table(
            [
                "loop",
                "status",
                "pool",
                "kept",
                "swapped",
                "precision",
                "pool precision",
                "p",
                "pairs trained on",
                "steps",
                "validation",
                "gap",
                "same side",
                "time",
            ],
            rows.collect::<Vec<_>>(),
        )
}

fn plots<B: Backbone>(mut report: Report, outcome: &SerOutcome<B>) -> Report {
    let points = |f: &dyn Fn(&LoopReport) -> f64| -> Vec<(f64, f64)> {
        outcome
            .loops
            .iter()
            .map(|l| (l.index as f64, f(l)))
            .collect()
    };
    let last = outcome.loops.last().map_or(0.0, |l| l.index as f64);
    let mut chart = LineChart::new("Validation accuracy per loop", "loop", "accuracy")
        .with(LineSeries::new("SER", points(&|l| l.validation.accuracy)));
    if let Some(full) = outcome.model_report("full") {
        let level = full.validation.accuracy;
        chart = chart.with(LineSeries::new(
            "all labels",
            vec![(0.0, level), (last, level)],
        ));
    }
    report = report.section("Plots").figure(
        "accuracy",
        chart,
        "Accuracy on the validation part after each loop.",
    );
    let mut data = BarChart::new(
        "Training pairs per loop",
        "loop",
        "pairs",
        outcome
            .loops
            .iter()
            .map(|l| l.index.to_string())
            .collect::<Vec<_>>(),
    );
    data = data
        .with(BarSeries::new(
            "human labels",
            outcome
                .loops
                .iter()
                .map(|l| l.human_labels as f64)
                .collect(),
        ))
        .with(BarSeries::new(
            "self-labelled",
            outcome
                .loops
                .iter()
                .map(|l| (l.train_pairs - l.human_labels) as f64)
                .collect(),
        ));
    report = report.figure("data", data, "Pairs that each loop trains on.");
    let mut gaps = Histogram::new("Score gap on the test part", "r(chosen) − r(rejected)");
    for name in ["loop0", "ser", "full"] {
        if let Some(model) = outcome.model_report(name) {
            gaps = gaps.with(name, model.gaps.iter().map(|g| f64::from(*g)).collect());
        }
    }
    report = report.figure("gaps", gaps, "Above zero the model agrees with the label.");
    let mut curve = LineChart::new(
        "Precision of self-labels",
        "threshold on Δp",
        "share that is right",
    );
    for l in &outcome.loops {
        let Some(labels) = &l.labels else { continue };
        let points: Vec<(f64, f64)> = labels
            .precision_curve
            .iter()
            .filter_map(|point| Some((point.threshold, point.precision?)))
            .collect();
        if !points.is_empty() {
            curve = curve.with(LineSeries::new(format!("loop {}", l.index), points));
        }
    }
    if !curve.series.is_empty() {
        report = report.figure(
            "precision",
            curve,
            "How many self-labels are right among those above a threshold.",
        );
    }
    report
}

fn cost<B: Backbone>(report: Report, outcome: &SerOutcome<B>, config: &SerConfig) -> Report {
    let model = CostModel::default();
    let loops = outcome.loops.len().saturating_sub(1);
    report.section("Cost").text(&format!(
        "By the paper's prices (appendix E: {} $ per human label, {:.3e} $ per sample scored), SER \
         costs {:.4} $ per sample, labelling everything {:.4} $.",
        model.human_label,
        model.inference,
        model.per_sample(config.seed_share, loops),
        model.per_sample(1.0, 0),
    ))
}
