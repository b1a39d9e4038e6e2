//! `summary.json` and `report.md` of a SeRA run.

use collimate_losses::DirectLoss;
use collimate_run::{Figures, RunFolder, curve};
use serde_json::{Map, Value, json};

use super::config::SeraConfig;
use super::iterations::FIRST_STAGE;
use super::outcome::{Aligned, SeraOutcome};
use crate::{RecipeError, report};

/// Returns the results of a run as JSON.
pub fn summary<M>(outcome: &SeraOutcome<M>, config: &SeraConfig) -> Value {
    let policies: Vec<Value> = outcome
        .policies
        .iter()
        .map(|policy| {
            json!({
                "title": policy.title,
                "method": policy.method,
                "answers": report::without_samples(json!(policy.answers)),
                "perplexity": policy.perplexity,
                "tax": tax(policy, outcome),
                "tried": policy.tried,
                "steps": policy.iterations.iter().map(|i| i.steps).sum::<u64>(),
                "iterations": policy.iterations,
            })
        })
        .collect();
    let by_title = |value: &dyn Fn(&Aligned<M>) -> Option<f64>| -> Map<String, Value> {
        let policies = outcome.policies.iter();
        policies
            .filter_map(|p| Some((p.title.clone(), json!(value(p)?))))
            .collect()
    };
    let mut win_rate = by_title(&|p| Some(p.answers.as_ref()?.win_rate.estimate));
    if let Some(start) = &outcome.start_answers {
        win_rate.insert("sft".to_owned(), json!(start.win_rate.estimate));
    }
    let accuracy = by_title(&|p| p.iterations.last()?.validation_accuracy);
    let tax = by_title(&|p| tax(p, outcome));
    json!({
        "seed": config.seed,
        "loss": config.loss,
        "pairs": outcome.pairs,
        "tokenize": outcome.tokenize,
        "judge": outcome.judge,
        "win_rate": win_rate,
        "accuracy": accuracy,
        "tax": tax,
        "overlaps": outcome.overlaps,
        "start": {
            "mean_score": outcome.start_answers.as_ref().map(|a| a.mean_score),
            "mean_tokens": outcome.start_answers.as_ref().map(|a| a.mean_tokens),
            "perplexity": outcome.start_perplexity,
        },
        "policies": policies,
        "seconds": outcome.seconds,
    })
}

/// Returns the relative rise of the perplexity of held-out good answers.
fn tax<M>(policy: &Aligned<M>, outcome: &SeraOutcome<M>) -> Option<f64> {
    let (after, before) = policy.perplexity.zip(outcome.start_perplexity)?;
    Some(after / before - 1.0)
}

/// Writes `summary.json`, `report.md` and its plots. `about` is a paragraph on the data and the
/// model. `extra` is copied into the summary.
///
/// # Errors
/// A file that cannot be written, or a plot that cannot be drawn.
pub fn write_report<M>(
    outcome: &SeraOutcome<M>,
    config: &SeraConfig,
    run: &RunFolder,
    about: &str,
    extra: &Map<String, Value>,
) -> Result<(), RecipeError> {
    let mut last_first = outcome.policies.iter().rev();
    let last = last_first.find(|policy| policy.answers.is_some());
    let values = json!({
        "about": about,
        "loss": config.loss.name(),
        "max_length": config.max_length,
        "lengths": outcome.tokenize.to_string(),
        "start": outcome.start_answers,
        "last": last.map(|policy| &policy.title),
        "samples": report::samples(last.and_then(|policy| policy.answers.as_ref())),
    });
    let rows = run.metrics().rows()?;
    let figures = figures(outcome, &rows);
    let summary = summary(outcome, config);
    report::write(run, "sera.md", summary, extra, values, figures)
}

fn figures<M>(outcome: &SeraOutcome<M>, rows: &[Map<String, Value>]) -> Figures {
    let policies = outcome.policies.iter();
    let rates = policies.filter_map(|p| Some((p.title.clone(), p.answers.as_ref()?.win_rate)));
    let bars = report::win_rates("Win rate against the start", "policy", rates);
    let lines = outcome.policies.iter().flat_map(|policy| {
        let of_policy = |metric: &str| stages(policy, rows, metric);
        let title = &policy.title;
        [
            report::logps(title, 1, of_policy),
            report::rewards(title, 1, of_policy),
        ]
    });
    bars.into_iter().chain(lines.flatten()).collect()
}

/// Joins a metric over all stages of a policy.
fn stages<M>(policy: &Aligned<M>, rows: &[Map<String, Value>], metric: &str) -> Vec<(f64, f64)> {
    // The stages of best-SeRA are named after the chosen share.
    let chosen = policy.tried.iter().find(|tried| tried.chosen);
    let title = chosen.map_or(&policy.title, |tried| &tried.title);
    let is_own = |stage: &str| {
        let number = stage
            .strip_prefix(title.as_str())
            .map(|rest| rest.strip_prefix('-'));
        stage == title
            || matches!(number, Some(Some(n)) if n.parse::<usize>().is_ok())
            || (stage == FIRST_STAGE && policy.method.starts_on_all_pairs())
    };
    let points = curve(rows, is_own, metric).into_iter().zip(1_u32..);
    points
        .map(|((_, value), step)| (f64::from(step), value))
        .collect()
}
