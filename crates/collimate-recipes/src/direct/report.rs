//! `summary.json` and `report.md` of direct alignment.

use collimate_eval::Interval;
use collimate_run::{BarChart, BarSeries, LineChart, LineSeries, Report, RunFolder};
use collimate_train::metric_names as names;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::outcome::AlignOutcome;
use crate::RecipeError;
use crate::sera::report::sample_blocks;

/// The results as JSON.
pub fn summary<M>(outcome: &AlignOutcome<M>, config: &impl Serialize) -> Value {
    let mut answers = json!(outcome.answers);
    if let Some(answers) = answers.as_object_mut() {
        answers.remove("samples");
    }
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
            "answers": answers,
            "validation_accuracy": outcome.validation_accuracy,
            "validation_logps": outcome.validation_logps,
            "perplexity": outcome.perplexity.map(|(_, after)| after),
            "tax": outcome.tax(),
        }],
        "seconds": outcome.seconds,
    })
}

fn interval(value: &Interval) -> String {
    format!(
        "{:.3} ({:.3} – {:.3})",
        value.estimate, value.low, value.high
    )
}

fn optional<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

/// Writes `summary.json`, `report.md` and its plots. `about` is a paragraph on the data and the model;
/// `extra` goes into the summary as it is.
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
    let mut summary = summary(outcome, config);
    for (name, value) in extra {
        summary[name] = value.clone();
    }
    run.write_summary(&summary)?;
    let title = &outcome.title;
    let lengths = &outcome.tokenize;
    let report = Report::new(&format!("Direct alignment with {title}"))
        .text(about)
        .text(&format!(
            "{} rows, {} steps. {lengths}; {} pairs dropped, whose answers are equal as tokens.",
            outcome.rows, outcome.steps, lengths.equal_answers
        ));
    let report = policy(report, outcome);
    let report = curves(report, run, title)?;
    let report = match &outcome.answers {
        Some(answers) => sample_blocks(report, "start", title, answers.samples.iter()),
        None => report,
    };
    report
        .section("Files")
        .text(
            "`models/` holds the start and the policy: write with one by `collimate generate`, or open it \
             in transformers. `metrics.jsonl` has a row for every logged step, `summary.json` the numbers \
             above.",
        )
        .write(run.path())?;
    Ok(())
}

fn policy<M>(mut report: Report, outcome: &AlignOutcome<M>) -> Report {
    report = report.section("Policy");
    if let Some(judge) = &outcome.judge {
        report = report.text(&format!(
            "*Score* is the mean of {judge}; *win rate* is the share of prompts on which the policy's score \
             is above that of the start's answer (ties count one half); 95 % bootstrap intervals over \
             prompts. *Reward and length* is the correlation (Pearson) of the implicit reward of the \
             answers with their length."
        ));
    }
    report = report.text(
        "*Validation* is the share of validation pairs whose chosen answer gained more log-probability than \
         the rejected one. *Tax* is the rise of the perplexity of held-out good answers.",
    );
    let row = |name: &str, answers: Option<&crate::AnswerReport>, of_start: bool| {
        let (perplexity, tax) = match of_start {
            true => (outcome.perplexity.map(|(before, _)| before), None),
            false => (outcome.perplexity.map(|(_, after)| after), outcome.tax()),
        };
        let validation = outcome.validation_accuracy.filter(|_| !of_start);
        let counts = answers.filter(|_| !of_start).map(|a| a.counts);
        let length = answers.and_then(|a| a.reward_length);
        vec![
            name.to_owned(),
            optional(answers, |a| interval(&a.mean_score)),
            optional(answers.filter(|_| !of_start), |a| interval(&a.win_rate)),
            optional(counts, |(won, tied, lost)| {
                format!("{won} / {tied} / {lost}")
            }),
            optional(answers, |a| format!("{:.1}", a.mean_tokens)),
            optional(answers, |a| format!("{:.0} %", 100.0 * a.finished)),
            optional(length, |(pearson, _)| format!("{pearson:+.2}")),
            optional(validation, |a| format!("{:.1} %", 100.0 * a)),
            optional(perplexity, |p| format!("{p:.2}")),
            optional(tax, |t| format!("{:+.0} %", 100.0 * t)),
        ]
    };
    report = report.table(
        [
            "policy",
            "score",
            "win rate",
            "won / tied / lost",
            "tokens",
            "ended",
            "reward and length",
            "validation",
            "perplexity",
            "tax",
        ],
        [
            row("start", outcome.start_answers.as_ref(), true),
            row(&outcome.title, outcome.answers.as_ref(), false),
        ],
    );
    let Some(answers) = &outcome.answers else {
        return report;
    };
    let rate = answers.win_rate;
    let bars =
        BarSeries::new("win rate", vec![rate.estimate]).with_intervals(vec![(rate.low, rate.high)]);
    let labels = vec![outcome.title.clone()];
    let chart =
        BarChart::new("Win rate against the start", "policy", "win rate", labels).with(bars);
    report.figure(
        "win_rate",
        chart,
        "Above one half the policy's answers score higher.",
    )
}

/// Log-probabilities and implicit rewards of the steps.
fn curves(mut report: Report, run: &RunFolder, title: &str) -> Result<Report, RecipeError> {
    let rows = run.metrics().rows()?;
    let of_stage: Vec<&Map<String, Value>> = rows
        .iter()
        .filter(|row| row.get("stage").and_then(Value::as_str) == Some(title))
        .collect();
    let series = |name: &str| -> Vec<(f64, f64)> {
        let points = of_stage
            .iter()
            .filter_map(|row| Some((row.get("step")?.as_f64()?, row.get(name)?.as_f64()?)));
        points.collect()
    };
    report = report
        .section("Curves")
        .text("Means over the rows of each step.");
    for (file, of, unit, chosen, rejected) in [
        (
            "logps",
            "Log-probabilities",
            "nats",
            names::LOGPS_CHOSEN,
            names::LOGPS_REJECTED,
        ),
        (
            "rewards",
            "Implicit rewards",
            "reward",
            names::REWARDS_CHOSEN,
            names::REWARDS_REJECTED,
        ),
    ] {
        let (chosen, rejected) = (series(chosen), series(rejected));
        if chosen.len() < 2 {
            continue;
        }
        let chart = LineChart::new(format!("{of}: {title}"), "step", unit)
            .with(LineSeries::new("chosen", chosen))
            .with(LineSeries::new("rejected", rejected));
        let caption = match file {
            "logps" => {
                "Does the likelihood of the chosen answers fall too? Sums over the answers' tokens."
            }
            _ => "Against the start.",
        };
        report = report.figure(&format!("{file}_{title}"), chart, caption);
    }
    Ok(report)
}
