//! `summary.json`: the numbers of a run, for programs.

use collimate_nn::Backbone;
use collimate_status::LearningStatus;
use serde_json::{Map, Value, json};

use super::config::SerConfig;
use super::outcome::{LoopReport, SerOutcome};
use super::verdict::verdict;

/// Returns the content of `summary.json`.
pub fn summary<B: Backbone>(outcome: &SerOutcome<B>, config: &SerConfig) -> Value {
    let mut accuracy = Map::new();
    let mut controls = Map::new();
    for model in &outcome.models {
        let target = match model.name.as_str() {
            "loop0" | "ser" | "full" => &mut accuracy,
            _ => &mut controls,
        };
        target.insert(model.name.clone(), json!(model.accuracy()));
    }
    let centres = outcome.reward_models.iter();
    let centres: Map<String, Value> = centres
        .map(|reward| (reward.name.clone(), json!(reward.centre)))
        .collect();
    let mut summary = json!({
        "accuracy": accuracy,
        "test_pairs": outcome.test_pairs(),
        "seed": config.seed,
        "seed_share": config.seed_share,
        "human_labels": labels(outcome),
        "reward_centres": centres,
        "loops": outcome.loops.iter().map(loop_summary).collect::<Vec<_>>(),
        "models": outcome.models.iter().map(|m| json!({
            "name": m.name, "human_labels": m.human_labels, "steps": m.steps.own,
            "steps_of_all_stages": m.steps.all,
            "validation_accuracy": m.validation.map(|a| a.accuracy),
            "test_accuracy": m.accuracy(),
            "test_ties": m.test.as_ref().map(|t| t.accuracy.ties),
            "test_unseen": m.test.as_ref().and_then(|t| t.unseen)
                .map(|a| json!({"pairs": a.pairs, "accuracy": a.accuracy})),
            "interval": m.test.as_ref().map(|t| [t.interval.low, t.interval.high]),
            "ece": m.test.as_ref().map(|t| t.calibration.ece),
            "brier": m.test.as_ref().map(|t| t.calibration.brier),
        })).collect::<Vec<_>>(),
        "differences": outcome.significance.iter().map(|s| json!({
            "of": s.of, "over": s.over, "estimate": s.difference.estimate,
            "interval": [s.difference.low, s.difference.high],
        })).collect::<Vec<_>>(),
        "recipe": config.recipe,
        "cross_fit": outcome.cross_fit,
        "agreement": outcome.agreement,
        "gain_test": outcome.gain,
        "self_labels": outcome.self_labels.len(),
        "ask_next": outcome.ask_next.len(),
        "verdict": verdict(outcome),
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

/// Returns the human labels of the evolved model by use: for the seed, and for the fine-tuning
/// before it.
fn labels<B: Backbone>(outcome: &SerOutcome<B>) -> Value {
    let (seed, fine_tuning) = (outcome.learnt.seed.len(), outcome.fine_tuning_labels);
    json!({"seed": seed, "fine_tuning": fine_tuning, "all": seed + fine_tuning})
}

/// Returns (SER − Loop 0) / (full − Loop 0) if full is better than Loop 0.
fn recovery<B: Backbone>(outcome: &SerOutcome<B>) -> Option<f64> {
    let accuracy = |name| outcome.model_report(name)?.accuracy();
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
        Some(Some(LearningStatus::Confident)) => "confident",
        Some(Some(LearningStatus::NoConfidence)) => "no confidence",
    }
}

fn loop_summary(l: &LoopReport) -> Value {
    let mut value = json!({
        "loop": l.index,
        "status": status_name(l),
        "accuracy": l.validation.map(|a| a.accuracy),
        "kept": l.labels.as_ref().map_or(0, |x| x.kept),
        "swapped": l.labels.as_ref().map_or(0, |x| x.swapped),
        "label_precision": l.labels.as_ref().and_then(|x| x.label_precision),
        "train_pairs": l.train_pairs,
        "human_labels": l.human_labels,
        "steps": l.steps,
        "mean_abs_gap": l.gap.map(|g| g.mean_abs),
        "mean_abs_gap_same_side": l.gap.and_then(|g| g.mean_abs_same_side),
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
        value["rule"] = json!(labels.rule);
        value["expected_precision"] = json!(labels.expected_precision);
        value["pool_accuracy"] = json!(labels.pool_accuracy);
        value["precision_curve"] = json!(labels.precision_curve);
    }
    value
}
