//! `summary.json` and `report.md` of direct alignment.

use collimate_run::{Figures, RunFolder, curve};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::outcome::AlignOutcome;
use crate::{RecipeError, report};

/// Returns the results as JSON.
pub fn summary<M>(outcome: &AlignOutcome<M>, config: &impl Serialize) -> Value {
    let title = outcome.title.as_str();
    let named = |value: Option<f64>| match value {
        Some(value) => json!({ title: value }),
        None => json!({}),
    };
    let mut win_rate = named(outcome.answers.as_ref().map(|a| a.win_rate.estimate));
    if let Some(start) = &outcome.start_answers {
        win_rate["sft"] = json!(start.win_rate.estimate);
    }
    let config = json!(config);
    json!({
        "seed": config["seed"],
        "loss": config.get("loss").or_else(|| config.get("kto")),
        "nll_anchor": config["nll_anchor"],
        "pairs": outcome.rows,
        "tokenize": outcome.tokenize,
        "judge": outcome.judge,
        "win_rate": win_rate,
        "accuracy": named(outcome.validation_accuracy),
        "tax": named(outcome.tax()),
        "start": {
            "mean_score": outcome.start_answers.as_ref().map(|a| a.mean_score),
            "mean_tokens": outcome.start_answers.as_ref().map(|a| a.mean_tokens),
            "perplexity": outcome.perplexity.map(|(before, _)| before),
        },
        "policies": [{
            "title": title,
            "steps": outcome.steps,
            "answers": report::without_samples(json!(outcome.answers)),
            "validation_accuracy": outcome.validation_accuracy,
            "validation_logps": outcome.validation_logps,
            "perplexity": outcome.perplexity.map(|(_, after)| after),
            "tax": outcome.tax(),
        }],
        "seconds": outcome.seconds,
    })
}

/// Writes `summary.json`, `report.md` and its plots. `about` is a paragraph on the data and the
/// model. `extra` is copied into the summary.
///
/// # Errors
/// A file that cannot be written, or a plot that cannot be drawn.
pub fn write_report<M>(
    outcome: &AlignOutcome<M>,
    config: &impl Serialize,
    run: &RunFolder,
    about: &str,
    extra: &Map<String, Value>,
) -> Result<(), RecipeError> {
    let values = json!({
        "title": outcome.title,
        "about": about,
        "lengths": outcome.tokenize.to_string(),
        "start": outcome.start_answers,
        "samples": report::samples(outcome.answers.as_ref()),
    });
    let rows = run.metrics().rows()?;
    let figures = figures(outcome, &rows);
    let summary = summary(outcome, config);
    report::write(run, "direct.md", summary, extra, values, figures)
}

fn figures<M>(outcome: &AlignOutcome<M>, rows: &[Map<String, Value>]) -> Figures {
    let title = &outcome.title;
    let rate = outcome.answers.iter().map(|a| (title.clone(), a.win_rate));
    let bars = report::win_rates("Win rate against the start", "policy", rate);
    let of_policy = |metric: &str| curve(rows, |stage| stage == title, metric);
    let lines = [
        report::logps(title, 2, of_policy),
        report::rewards(title, 2, of_policy),
    ];
    bars.into_iter()
        .chain(lines.into_iter().flatten())
        .collect()
}
