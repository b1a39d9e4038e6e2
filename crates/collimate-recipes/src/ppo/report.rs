//! `summary.json` and `report.md` of policies, and the policy section of other recipes' reports.

use collimate_ppo::metrics as names;
use collimate_run::{Figures, LineChart, LineSeries, Report, RunFolder, curve};
use serde_json::{Map, Value, json};

use super::config::PolicyConfig;
use super::outcome::{PolicyOutcome, PolicyReport};
use crate::RecipeError;
use crate::report::{self, TEMPLATES};

/// Returns the results as JSON. `win_rate`, `kl`, `gold_reward` (the judge's), `reward` and `tax`
/// are keyed by the rewards' names; every policy follows in full.
pub fn summary<M>(outcome: &PolicyOutcome<M>, config: &PolicyConfig) -> Value {
    let reports = || outcome.policies.iter().map(|policy| &policy.report);
    let by_name = |value: &dyn Fn(&PolicyReport) -> Option<Value>| -> Map<String, Value> {
        reports()
            .filter_map(|r| Some((r.name.clone(), value(r)?)))
            .collect()
    };
    let win_rate = by_name(&|r| Some(json!(r.answers.win_rate.estimate)));
    let mut gold = Map::new();
    if outcome.judge.is_some() {
        gold = by_name(&|r| Some(json!(r.answers.mean_score.estimate)));
        if let Some(start) = &outcome.start {
            gold.insert("sft".to_owned(), json!(start.mean_score.estimate));
        }
    }
    let policies: Vec<Value> = reports()
        .map(|report| {
            let mut value = json!(report);
            value["tax"] = json!(tax(report, outcome));
            value["answers"] = report::without_samples(value["answers"].take());
            value
        })
        .collect();
    json!({
        "estimator": config.ppo.estimator.name(),
        "judge": outcome.judge,
        "prompts": outcome.prompts,
        "prompts_too_long": outcome.too_long,
        "win_rate": win_rate,
        "kl": by_name(&|r| Some(json!(r.kl.estimate))),
        "gold_reward": gold,
        "reward": by_name(&|r| Some(json!([r.reward_before.estimate, r.reward_after.estimate]))),
        "tax": by_name(&|r| Some(json!(tax(r, outcome)?))),
        "duels": outcome.duels,
        "policies": policies,
        "seconds": outcome.seconds,
    })
}

/// Returns the relative rise of the perplexity of held-out good answers.
fn tax<M>(report: &PolicyReport, outcome: &PolicyOutcome<M>) -> Option<f64> {
    let (after, before) = report.perplexity.zip(outcome.start_perplexity)?;
    Some(after / before - 1.0)
}

/// Writes `summary.json`, `report.md` and its plots. `about` is a paragraph on the data and the
/// model. `extra` is copied into the summary.
///
/// # Errors
/// A file that cannot be written, or a plot that cannot be drawn.
pub fn write_report<M>(
    outcome: &PolicyOutcome<M>,
    config: &PolicyConfig,
    run: &RunFolder,
    about: &str,
    extra: &Map<String, Value>,
) -> Result<(), RecipeError> {
    let mut values = values(outcome, config);
    values["about"] = json!(about);
    let figures = figures(outcome, &run.metrics().rows()?);
    let summary = summary(outcome, config);
    report::write(run, "ppo.md", summary, extra, values, figures)
}

/// Returns the policies as a section of another report: tables, training curves and sample answers.
///
/// # Errors
/// Metrics that cannot be read.
pub fn section<M>(
    outcome: &PolicyOutcome<M>,
    config: &PolicyConfig,
    run: &RunFolder,
) -> Result<Report, RecipeError> {
    let figures = figures(outcome, &run.metrics().rows()?);
    Ok(TEMPLATES.render("policies.md", &values(outcome, config), figures)?)
}

fn values<M>(outcome: &PolicyOutcome<M>, config: &PolicyConfig) -> Value {
    let reports = || outcome.policies.iter().map(|policy| &policy.report);
    json!({
        "ppo": summary(outcome, config),
        "config": config.ppo,
        "start": outcome.start,
        "scalings": reports().map(|r| r.scaling.to_string()).collect::<Vec<_>>(),
        "warnings": reports().flat_map(PolicyReport::warnings).collect::<Vec<_>>(),
        "samples": reports().map(|r| &r.answers.samples).collect::<Vec<_>>(),
    })
}

/// Name in files, metric, title and unit of each plot.
const CURVES: [(&str, &str, &str, &str); 7] = [
    ("reward", names::SCORES, "Reward", "score"),
    (
        "kl",
        names::KL,
        "KL divergence from the start",
        "nats per response",
    ),
    ("length", names::LENGTH, "Length", "tokens"),
    (
        "clip_fraction",
        names::CLIP_FRACTION,
        "Clipped tokens",
        "share",
    ),
    (
        "explained_variance",
        names::EXPLAINED_VARIANCE,
        "Explained variance of the returns",
        "share",
    ),
    (
        "entropy",
        names::ENTROPY,
        "Estimated entropy of the responses",
        "nats per response",
    ),
    (
        "kl_coef",
        names::KL_COEF,
        "Coefficient of the KL penalty",
        "β",
    ),
];

fn figures<M>(outcome: &PolicyOutcome<M>, rows: &[Map<String, Value>]) -> Figures {
    let reports = || outcome.policies.iter().map(|policy| &policy.report);
    let rates = reports().map(|r| (r.name.clone(), r.answers.win_rate));
    let bars = report::win_rates("Win rate against the start", "reward", rates);
    let lines = CURVES.iter().filter_map(|&(file, metric, title, unit)| {
        let mut chart = LineChart::new(title, "rollout", unit);
        for report in reports() {
            let points = curve(rows, |stage| stage == report.stage, metric);
            if !points.is_empty() {
                chart = chart.with(LineSeries::new(&report.name, points));
            }
        }
        (!chart.series.is_empty()).then(|| (file.to_owned(), chart.into()))
    });
    let all = bars.into_iter().chain(lines);
    all.map(|(name, plot)| (format!("policy_{name}"), plot))
        .collect()
}
