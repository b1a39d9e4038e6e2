//! `summary.json` and `report.md` of a Self-Rewarding run.

use std::collections::BTreeMap;

use collimate_eval::RankAgreement;
use collimate_losses::DirectLoss;
use collimate_run::{BarChart, BarSeries, Figures, Plot, RunFolder, curve};
use serde_json::{Map, Value, json};

use super::config::SelfRewardingConfig;
use super::outcome::{ModelReport, SelfRewardingOutcome};
use super::ranks::RankReport;
use crate::{AnswerReport, RecipeError, report};

/// Returns the results of a run as JSON.
pub fn summary<M>(outcome: &SelfRewardingOutcome<M>, config: &SelfRewardingConfig) -> Value {
    let by_name = |value: &dyn Fn(&ModelReport) -> Option<f64>| -> Map<String, Value> {
        let models = outcome.models.iter();
        models
            .filter_map(|m| Some((m.name.clone(), json!(value(m)?))))
            .collect()
    };
    let comparisons: BTreeMap<&String, Value> = outcome
        .comparisons
        .iter()
        .map(|(name, report)| (name, without_samples(report)))
        .collect();
    let win_rate: BTreeMap<&String, f64> = outcome
        .comparisons
        .iter()
        .map(|(name, report)| (name, report.win_rate.estimate))
        .collect();
    let before = outcome.model("sft").and_then(|m| m.perplexity);
    let (ift, eft, tasks) = outcome.seed_data;
    json!({
        "seed": config.seed,
        "loss": config.loss,
        "seed_data": {"ift": ift, "eft": eft, "tasks": tasks},
        "eft": outcome.eft,
        "evaluator": outcome.evaluator,
        "win_rate": win_rate,
        "judge": {
            "parse_rate": by_name(&|m| Some(m.judge.as_ref()?.parse_rate)),
            "agreement": by_name(&|m| Some(m.judge.as_ref()?.agreement?.estimate)),
            "correlation": by_name(&|m| Some(m.judge.as_ref()?.correlation?.1)),
            "ranks": ranks(outcome),
            "tests": outcome.models.iter().filter_map(|m| Some((m.name.clone(), json!(m.judge.as_ref()?))))
                .collect::<Map<String, Value>>(),
        },
        "tax": by_name(&|m| Some(m.perplexity? / before? - 1.0)),
        "perplexity": by_name(&|m| m.perplexity),
        "task_accuracy": by_name(&|m| m.task_accuracy),
        "mean_score": by_name(&|m| Some(m.answers.as_ref()?.mean_score.estimate)),
        "comparisons": comparisons,
        "iterations": outcome.iterations,
        "stopped": outcome.stopped,
        "tokenize": outcome.tokenize,
        "seconds": outcome.seconds,
    })
}

/// Returns the agreement with held-out rankings, by measure and model.
fn ranks<M>(outcome: &SelfRewardingOutcome<M>) -> Value {
    let by_name = |value: &dyn Fn(&RankReport) -> Option<f64>| -> Map<String, Value> {
        let models = outcome.models.iter();
        let named = models.filter_map(|m| Some((m.name.clone(), json!(value(m.ranks.as_ref()?)?))));
        named.collect()
    };
    json!({
        "pairwise": by_name(&|r| r.agreement.pairwise),
        "exact_match": by_name(&|r| r.agreement.exact_match),
        "top_share": by_name(&|r| r.agreement.top_share),
        "spearman": by_name(&|r| r.agreement.spearman),
        "kendall": by_name(&|r| r.agreement.kendall),
        "parse_rate": by_name(&|r| Some(r.parse_rate)),
        "tests": by_name_whole(outcome),
    })
}

fn by_name_whole<M>(outcome: &SelfRewardingOutcome<M>) -> Map<String, Value> {
    let models = outcome.models.iter();
    let named = models.filter_map(|m| Some((m.name.clone(), json!(m.ranks.as_ref()?))));
    named.collect()
}

fn without_samples(report: &AnswerReport) -> Value {
    let mut value = json!(report);
    if let Some(map) = value.as_object_mut() {
        map.retain(|key, _| !matches!(key.as_str(), "samples" | "reward_length" | "reward_score"));
    }
    value
}

/// Writes `summary.json`, `report.md` and its plots. `about` is a paragraph on the data and the
/// model. `extra` is copied into the summary.
///
/// # Errors
/// A file that cannot be written, or a plot that cannot be drawn.
pub fn write_report<M>(
    outcome: &SelfRewardingOutcome<M>,
    config: &SelfRewardingConfig,
    run: &RunFolder,
    about: &str,
    extra: &Map<String, Value>,
) -> Result<(), RecipeError> {
    // Branches have a hyphen in their names; models of the chain have none.
    let last = outcome
        .models
        .iter()
        .rfind(|model| !model.name.contains('-'));
    let values = json!({
        "about": about,
        "loss": config.loss.name(),
        "rubric": config.rubric.template().name(),
        "max_length": config.max_length,
        "models": outcome.models,
        "last": last.map(|model| &model.name),
        "samples": report::samples(last.and_then(|model| model.answers.as_ref())),
    });
    let rows = run.metrics().rows()?;
    let figures = figures(outcome, &rows);
    let summary = summary(outcome, config);
    report::write(run, "self_rewarding.md", summary, extra, values, figures)
}

fn figures<M>(outcome: &SelfRewardingOutcome<M>, rows: &[Map<String, Value>]) -> Figures {
    let comparisons = outcome.comparisons.iter();
    let rates = comparisons.map(|(name, report)| (name.replace('_', " "), report.win_rate));
    let bars = report::win_rates("Win rates", "models", rates);
    let judges = judges(&outcome.models).map(|plot| ("judges".to_owned(), plot));
    let ranked = rankings(&outcome.models).map(|plot| ("judge_ranks".to_owned(), plot));
    let branches = outcome.iterations.iter().flat_map(|i| &i.branches);
    let lines = branches.filter_map(|branch| {
        let name = branch.model.as_deref()?;
        report::rewards(name, 1, |metric| curve(rows, |stage| stage == name, metric))
    });
    let judges = judges.into_iter().chain(ranked);
    bars.into_iter().chain(judges).chain(lines).collect()
}

fn judges(models: &[ModelReport]) -> Option<Plot> {
    let judges = models
        .iter()
        .filter_map(|m| Some((&m.name, m.judge.as_ref()?)));
    let (names, judges): (Vec<String>, Vec<_>) = judges.map(|(name, j)| (name.clone(), j)).unzip();
    let agreement = judges
        .iter()
        .map(|j| j.agreement.map_or(0.0, |a| a.estimate));
    let parsed = judges.iter().map(|j| j.parse_rate);
    let any = !names.is_empty();
    let chart = BarChart::new("The models as judges", "model", "share", names)
        .with(BarSeries::new("agreement", agreement.collect()))
        .with(BarSeries::new("parse rate", parsed.collect()));
    any.then(|| chart.into())
}

fn rankings(models: &[ModelReport]) -> Option<Plot> {
    let ranked = models
        .iter()
        .filter_map(|m| Some((&m.name, m.ranks.as_ref()?.agreement)));
    let (names, ranked): (Vec<String>, Vec<_>) = ranked.map(|(name, r)| (name.clone(), r)).unzip();
    let bars = |value: fn(&RankAgreement) -> Option<f64>| -> Vec<f64> {
        ranked.iter().map(|r| value(r).unwrap_or(0.0)).collect()
    };
    let any = !names.is_empty();
    let chart = BarChart::new(
        "Agreement with rankings",
        "model",
        "share or correlation",
        names,
    )
    .with(BarSeries::new("pairwise", bars(|r| r.pairwise)))
    .with(BarSeries::new(
        "top score on the best",
        bars(|r| r.top_share),
    ))
    .with(BarSeries::new("exact order", bars(|r| r.exact_match)))
    .with(BarSeries::new("Spearman", bars(|r| r.spearman)))
    .with(BarSeries::new("Kendall", bars(|r| r.kendall)));
    any.then(|| chart.into())
}
