//! `summary.json` and `report.md` for a person.

use collimate_eval::Interval;
use collimate_losses::DirectLoss;
use collimate_run::{BarChart, BarSeries, LineChart, LineSeries, Report, RunFolder};
use collimate_train::metric_names as names;
use serde_json::{Map, Value, json};

use super::analyses::analyses;
use super::config::SeraConfig;
use super::iterations::FIRST_STAGE;
use super::outcome::{Aligned, SeraOutcome};
use crate::{RecipeError, Sample};

/// What a run found out, as JSON.
pub fn summary<M>(outcome: &SeraOutcome<M>, config: &SeraConfig) -> Value {
    let policies: Vec<Value> = outcome
        .policies
        .iter()
        .map(|policy| {
            let mut answers = json!(policy.answers);
            if let Some(answers) = answers.as_object_mut() {
                answers.remove("samples");
            }
            json!({
                "title": policy.title,
                "method": policy.method,
                "answers": answers,
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

/// How much the perplexity of held-out good answers rose, as a share.
fn tax<M>(policy: &Aligned<M>, outcome: &SeraOutcome<M>) -> Option<f64> {
    let (after, before) = policy.perplexity.zip(outcome.start_perplexity)?;
    Some(after / before - 1.0)
}

/// Writes `summary.json`, `report.md` and its plots. `about` is a paragraph on the data and the
/// model; `extra` goes into the summary as it is.
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
    let mut summary = summary(outcome, config);
    for (name, value) in extra {
        summary[name] = value.clone();
    }
    run.write_summary(&summary)?;
    let title = format!("Direct alignment with {}", config.loss.name());
    let t = &outcome.tokenize;
    let lengths = format!(
        "Longest sequence: {} tokens. {t}; {} pairs dropped, whose answers are equal as tokens.",
        config.max_length, t.equal_answers
    );
    let report = Report::new(&title).text(about).text(&lengths);
    let report = policies(report, outcome);
    let report = iterations(report, outcome);
    let report = analyses(report, outcome);
    let report = curves(report, run, outcome)?;
    let report = samples(report, outcome);
    report
        .section("Files")
        .text(
            "`models/` holds the start and every policy: write with one by `collimate generate`, \
             or open it in Transformers. `selections/` has the pairs of each \
             iteration in TRL's format, with margins; `metrics.jsonl` every training step.",
        )
        .write(run.path())?;
    Ok(())
}

fn interval(value: &Interval) -> String {
    format!(
        "{:.3} ({:.3} – {:.3})",
        value.estimate, value.low, value.high
    )
}

pub(crate) fn optional<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

fn policies<M>(mut report: Report, outcome: &SeraOutcome<M>) -> Report {
    let judge = outcome.judge.clone().unwrap_or_default();
    report = report.section("Policies").text(&format!(
        "Every policy began at the same start and made the steps that are shown. *Score* is the \
         mean of {}; *win rate* the share of prompts on which it is above that of the start's \
         answer (ties count one half); 95 % bootstrap intervals over prompts. *Reward and length* \
         is the correlation (Pearson) of the implicit reward of the answers with their length. \
         *Tax* is how much the perplexity of held-out good answers rose.",
        match judge.is_empty() {
            true => "a scorer (none was given)",
            false => &judge,
        }
    ));
    let correlation =
        |pair: Option<(f64, f64)>| optional(pair, |(pearson, _)| format!("{pearson:+.2}"));
    let mut rows = Vec::new();
    if let Some(start) = &outcome.start_answers {
        rows.push(vec![
            "start".to_owned(),
            "0".to_owned(),
            interval(&start.mean_score),
            "–".to_owned(),
            "–".to_owned(),
            format!("{:.1}", start.mean_tokens),
            format!("{:.0} %", 100.0 * start.finished),
            "–".to_owned(),
            "–".to_owned(),
            optional(outcome.start_perplexity, |p| format!("{p:.2}")),
            "–".to_owned(),
        ]);
    }
    for policy in &outcome.policies {
        let answers = policy.answers.as_ref();
        let last = policy.iterations.last();
        let steps: u64 = policy.iterations.iter().map(|i| i.steps).sum();
        rows.push(vec![
            policy.title.clone(),
            steps.to_string(),
            optional(answers, |a| interval(&a.mean_score)),
            optional(answers, |a| interval(&a.win_rate)),
            optional(answers, |a| {
                format!("{} / {} / {}", a.counts.0, a.counts.1, a.counts.2)
            }),
            optional(answers, |a| format!("{:.1}", a.mean_tokens)),
            optional(answers, |a| format!("{:.0} %", 100.0 * a.finished)),
            correlation(answers.and_then(|a| a.reward_length)),
            optional(last.and_then(|i| i.validation_accuracy), |a| {
                format!("{:.1} %", 100.0 * a)
            }),
            optional(policy.perplexity, |p| format!("{p:.2}")),
            optional(tax(policy, outcome), |t| format!("{:+.0} %", 100.0 * t)),
        ]);
    }
    report = report.table(
        [
            "policy",
            "steps",
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
        rows,
    );
    let won: Vec<(String, Interval)> = outcome
        .policies
        .iter()
        .filter_map(|p| Some((p.title.clone(), p.answers.as_ref()?.win_rate)))
        .collect();
    if won.is_empty() {
        return report;
    }
    let bars = BarSeries::new("win rate", won.iter().map(|(_, i)| i.estimate).collect())
        .with_intervals(won.iter().map(|(_, i)| (i.low, i.high)).collect());
    let labels: Vec<String> = won.into_iter().map(|(name, _)| name).collect();
    let chart =
        BarChart::new("Win rate against the start", "policy", "win rate", labels).with(bars);
    report.figure(
        "win_rate",
        chart,
        "Above one half the policy's answers score higher.",
    )
}

fn iterations<M>(report: Report, outcome: &SeraOutcome<M>) -> Report {
    let rows = outcome.policies.iter().flat_map(|policy| {
        policy.iterations.iter().map(|i| {
            let s = &i.selection;
            let percent = |share: f64| format!("{:.1} %", 100.0 * share);
            vec![
                policy.title.clone(),
                i.iteration.to_string(),
                s.offline.to_string(),
                optional(s.mean_margin, |(kept, left)| {
                    format!("{kept:.2} / {}", optional(left, |l| format!("{l:.2}")))
                }),
                optional(s.noisy_share, percent),
                s.bootstrapped.to_string(),
                match s.responses.responses {
                    0 => "–".to_owned(),
                    all => format!(
                        "{all}, {} empty, {} cut",
                        s.responses.empty, s.responses.cut
                    ),
                },
                i.steps.to_string(),
                optional(i.validation_accuracy, percent),
                optional(i.validation_logps, |(chosen, rejected)| {
                    format!("{chosen:.1} / {rejected:.1}")
                }),
                format!("{:.0} s", i.seconds),
            ]
        })
    });
    report
        .section("Iterations")
        .text(
            "*Margin* is the mean implicit reward margin of the offline pairs that were kept and \
             of those that were left; *swapped* the share of swapped labels among those kept, where \
             it is known. *Log-probabilities* are means over validation pairs, chosen and rejected.",
        )
        .table(
            [
                "policy",
                "iteration",
                "offline pairs",
                "margin",
                "swapped",
                "own pairs",
                "responses",
                "steps",
                "validation",
                "log-probabilities",
                "time",
            ],
            rows.collect::<Vec<_>>(),
        )
}

/// How the rewards and log-probabilities went while training.
fn curves<M>(
    mut report: Report,
    run: &RunFolder,
    outcome: &SeraOutcome<M>,
) -> Result<Report, RecipeError> {
    let rows = run.metrics().rows()?;
    report = report.section("Curves").text(
        "Does the likelihood of the *chosen* answers fall too? Means over the pairs of each step; \
         stages of one policy lie behind one another.",
    );
    for policy in &outcome.policies {
        let series = |name: &str| stages(policy, &rows, name);
        let (chosen, rejected) = (series(names::LOGPS_CHOSEN), series(names::LOGPS_REJECTED));
        if chosen.is_empty() {
            continue;
        }
        let name = &policy.title;
        let chart = LineChart::new(format!("Log-probabilities: {name}"), "step", "nats")
            .with(LineSeries::new("chosen", chosen))
            .with(LineSeries::new("rejected", rejected));
        report = report.figure(
            &format!("logps_{name}"),
            chart,
            "Sums over the completion's tokens.",
        );
        let chart = LineChart::new(format!("Implicit rewards: {name}"), "step", "reward")
            .with(LineSeries::new("chosen", series(names::REWARDS_CHOSEN)))
            .with(LineSeries::new("rejected", series(names::REWARDS_REJECTED)));
        report = report.figure(
            &format!("rewards_{name}"),
            chart,
            "Against the reference of each stage.",
        );
    }
    Ok(report)
}

fn stages<M>(policy: &Aligned<M>, rows: &[Map<String, Value>], name: &str) -> Vec<(f64, f64)> {
    // The stages of best-SeRA bear the chosen share.
    let chosen = policy.tried.iter().find(|tried| tried.chosen);
    let title = chosen.map_or(&policy.title, |tried| &tried.title);
    let mine = |stage: &str| {
        let number = stage
            .strip_prefix(title.as_str())
            .map(|rest| rest.strip_prefix('-'));
        stage == title
            || matches!(number, Some(Some(n)) if n.parse::<usize>().is_ok())
            || (stage == FIRST_STAGE && policy.method.starts_on_all_pairs())
    };
    let of_stage = rows
        .iter()
        .filter(|row| row.get("stage").and_then(Value::as_str).is_some_and(mine));
    of_stage
        .filter_map(|row| row.get(name).and_then(Value::as_f64))
        .enumerate()
        .map(|(step, value)| ((step + 1) as f64, value))
        .collect()
}

fn samples<M>(report: Report, outcome: &SeraOutcome<M>) -> Report {
    let Some(policy) = outcome.policies.iter().rev().find(|p| p.answers.is_some()) else {
        return report;
    };
    let samples = policy.answers.iter().flat_map(|a| &a.samples);
    sample_blocks(report, "start", &policy.title, samples)
}

/// Longer texts stand below one another, not in a table.
const SHORT: usize = 120;

/// Answers of a policy beside those of the start.
pub(crate) fn sample_blocks<'s>(
    mut report: Report,
    start: &str,
    title: &str,
    samples: impl Iterator<Item = &'s Sample> + Clone,
) -> Report {
    if samples.clone().next().is_none() {
        return report;
    }
    report = report
        .section("Answers")
        .text("The first prompts, with scores.");
    let is_short = |s: &Sample| s.answer.len().max(s.start_answer.len()) <= SHORT;
    if samples.clone().all(is_short) {
        // The table takes care of its own signs.
        let cell = |text: &str| text.replace('\n', " ");
        let rows = samples.map(|s| {
            vec![
                cell(&s.prompt),
                format!("{} ({:.2})", cell(&s.start_answer), s.start_score),
                format!("{} ({:.2})", cell(&s.answer), s.score),
            ]
        });
        return report.table(["prompt", start, title], rows.collect::<Vec<_>>());
    }
    for sample in samples {
        let block = |name: &str, score: f64, text: &str| {
            format!("*{name}* ({score:.2})\n\n{}", quoted(text))
        };
        report = report
            .text(&format!("**Prompt**\n\n{}", quoted(&sample.prompt)))
            .text(&block(start, sample.start_score, &sample.start_answer))
            .text(&block(title, sample.score, &sample.answer));
    }
    report
}

/// A text as it is: signs that Markdown would read mean nothing in it.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for line in text.trim().lines() {
        quoted += "> ";
        for c in line.chars() {
            if matches!(
                c,
                '*' | '_' | '`' | '<' | '>' | '[' | ']' | '#' | '|' | '\\' | '$' | '~'
            ) {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('\n');
    }
    quoted
}
