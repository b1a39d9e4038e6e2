//! What the policy stage adds to a summary and a report.

use collimate_eval::Interval;
use collimate_ppo::metrics as names;
use collimate_run::{BarChart, BarSeries, LineChart, LineSeries, Report, RunFolder};
use serde_json::{Map, Value, json};

use super::config::PolicyConfig;
use super::outcome::{PolicyOutcome, PolicyReport};
use crate::RecipeError;

/// What came out, as JSON: `win_rate`, `kl`, `gold_reward` (the judge's), `reward`, `tax` by the
/// rewards' names, and every policy in full.
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
            if let Some(answers) = value["answers"].as_object_mut() {
                answers.remove("samples");
            }
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
        "policies": policies,
        "seconds": outcome.seconds,
    })
}

/// How much the perplexity of held-out good answers rose, as a share.
fn tax<M>(report: &PolicyReport, outcome: &PolicyOutcome<M>) -> Option<f64> {
    let (after, before) = report.perplexity.zip(outcome.start_perplexity)?;
    Some(after / before - 1.0)
}

fn interval(value: &Interval) -> String {
    format!(
        "{:.3} ({:.3} – {:.3})",
        value.estimate, value.low, value.high
    )
}

/// Adds the policies to a report: a table, the curves of training, texts.
///
/// # Errors
/// Metrics that cannot be read.
pub fn section<M>(
    mut report: Report,
    outcome: &PolicyOutcome<M>,
    config: &PolicyConfig,
    run: &RunFolder,
) -> Result<Report, RecipeError> {
    let ppo = &config.ppo;
    let judge = outcome
        .judge
        .as_deref()
        .unwrap_or("the policy's own reward");
    report = report.section("Policies").text(&format!(
        "From the same start and over the same {} prompts, one policy per reward by {} \
         ({} rollouts of {} responses, {} passes over each). *Win rate* is the share of test prompts \
         on which {judge} scores the policy's answer above the start's (ties count one half), \
         *score* its mean; *reward* is the mean of the policy's own reward on these answers, before → after; \
         *KL* the divergence of the answers from the start in nats per answer; *tax* how much the \
         perplexity of held-out good answers rose. 95 % bootstrap intervals over prompts.{}",
        outcome.prompts,
        ppo.estimator.name().replace("critic", "PPO with a critic").replace("rloo", "RLOO").replace("grpo", "GRPO"),
        ppo.rollouts,
        ppo.rollout_size,
        ppo.ppo_epochs,
        match outcome.too_long {
            0 => String::new(),
            n => format!(" {n} prompts were left out: a response would not fit behind them."),
        }
    ));
    let optional = |value: Option<f64>, show: &dyn Fn(f64) -> String| {
        value.map_or_else(|| "–".to_owned(), show)
    };
    let mut rows = Vec::new();
    if let Some(start) = &outcome.start {
        rows.push(vec![
            "start".to_owned(),
            "0".to_owned(),
            interval(&start.win_rate),
            interval(&start.mean_score),
            "–".to_owned(),
            "0".to_owned(),
            format!("{:.1}", start.mean_tokens),
            format!("{:.0} %", 100.0 * start.finished),
            "–".to_owned(),
            "–".to_owned(),
        ]);
    }
    for policy in &outcome.policies {
        let r = &policy.report;
        rows.push(vec![
            r.name.clone(),
            r.updates.to_string(),
            interval(&r.answers.win_rate),
            interval(&r.answers.mean_score),
            format!(
                "{:.3} → {:.3}",
                r.reward_before.estimate, r.reward_after.estimate
            ),
            format!("{:.2}", r.kl.estimate),
            format!("{:.1}", r.answers.mean_tokens),
            format!("{:.0} %", 100.0 * r.answers.finished),
            optional(tax(r, outcome), &|t| format!("{:+.0} %", 100.0 * t)),
            format!("{:.0} s", r.seconds),
        ]);
    }
    report = report.table(
        [
            "reward",
            "steps",
            "win rate",
            "score",
            "reward before → after",
            "KL",
            "tokens",
            "ended",
            "tax",
            "time",
        ],
        rows,
    );
    let reports = || outcome.policies.iter().map(|policy| &policy.report);
    report = scaling(report, reports());
    if !outcome.policies.is_empty() {
        let won: Vec<Interval> = reports().map(|r| r.answers.win_rate).collect();
        let bars = BarSeries::new("win rate", won.iter().map(|i| i.estimate).collect())
            .with_intervals(won.iter().map(|i| (i.low, i.high)).collect());
        let labels = reports().map(|r| r.name.clone()).collect();
        let chart = BarChart::new("Win rate against the start", "reward", "win rate", labels);
        report = report.figure(
            "policy_win_rate",
            chart.with(bars),
            "Above one half the policy's answers score higher.",
        );
    }
    report = curves(report, outcome, run)?;
    Ok(texts(report, outcome))
}

/// How scores became rewards, and where that told nothing apart.
fn scaling<'a>(mut report: Report, policies: impl Iterator<Item = &'a PolicyReport>) -> Report {
    let mut lines = Vec::new();
    let mut warnings = Vec::new();
    for policy in policies {
        let floor = policy.floor.map_or(String::new(), |floor| {
            format!(" ({:.1} % of the responses on the floor)", 100.0 * floor)
        });
        lines.push(format!("`{}`: {}{floor}", policy.name, policy.scaling));
        warnings.extend(policy.warnings());
    }
    if !lines.is_empty() {
        report = report.text(&format!("From scores to rewards: {}.", lines.join("; ")));
    }
    for warning in warnings {
        report = report.text(&format!("**Warning.** {warning}"));
    }
    report
}

/// What is drawn: name in files, metric, title, unit, caption.
const CURVES: [(&str, &str, &str, &str, &str); 7] = [
    (
        "policy_reward",
        names::SCORES,
        "Reward",
        "score",
        "Mean reward of each rollout's responses, before scaling. Rewards of different kinds have different scales.",
    ),
    (
        "policy_kl",
        names::KL,
        "Divergence from the start",
        "nats per response",
        "Rising without end: the policy leaves the start for the reward; look at the texts below.",
    ),
    (
        "policy_length",
        names::LENGTH,
        "Length",
        "tokens",
        "Responses that grow or shrink to one length are the usual sign of a reward that is misled.",
    ),
    (
        "policy_clip_fraction",
        names::CLIP_FRACTION,
        "Clipped tokens",
        "share",
        "A few hundredths are usual; far more means steps that are too large.",
    ),
    (
        "policy_explained_variance",
        names::EXPLAINED_VARIANCE,
        "Explained variance of the returns",
        "share",
        "1: the critic foresees every return; below 0 it is worse than their mean.",
    ),
    (
        "policy_entropy",
        names::ENTROPY,
        "Entropy of the responses, estimated",
        "nats per response",
        "Towards 0 the policy always writes the same.",
    ),
    (
        "policy_kl_coef",
        names::KL_COEF,
        "Coefficient on the divergence",
        "β",
        "Constant with a fixed coefficient.",
    ),
];

fn curves<M>(
    mut report: Report,
    outcome: &PolicyOutcome<M>,
    run: &RunFolder,
) -> Result<Report, RecipeError> {
    let rows = run.metrics().rows()?;
    report = report.section("Training of the policies");
    for (file, metric, title, unit, caption) in CURVES {
        let mut chart = LineChart::new(title, "rollout", unit);
        for policy in &outcome.policies {
            let mine = rows.iter().filter(|row| {
                row.get("stage").and_then(Value::as_str) == Some(policy.report.stage.as_str())
            });
            let point = |row: &Map<String, Value>| {
                Some((row.get("step")?.as_f64()?, row.get(metric)?.as_f64()?))
            };
            let points: Vec<(f64, f64)> = mine.filter_map(point).collect();
            if !points.is_empty() {
                chart = chart.with(LineSeries::new(&policy.report.name, points));
            }
        }
        if !chart.series.is_empty() {
            report = report.figure(file, chart, caption);
        }
    }
    Ok(report)
}

/// Longer texts are cut in the table.
const SHOWN: usize = 400;

fn texts<M>(mut report: Report, outcome: &PolicyOutcome<M>) -> Report {
    let cell = |text: &str| {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    };
    for policy in &outcome.policies {
        let report_of = &policy.report;
        if report_of.watched.is_empty() {
            continue;
        }
        let rows = report_of.watched.iter().map(|a| {
            vec![
                cell(&a.prompt),
                a.rollout.to_string(),
                cell(&a.answer),
                format!("{:.3}", a.score),
            ]
        });
        let mut rows: Vec<Vec<String>> = rows.collect();
        rows.sort_by(|a, b| a[0].cmp(&b[0]));
        report = report
            .section(&format!("Answers as training goes on: {}", report_of.name))
            .text(
                "Always with the same random numbers. A score that rises while the text gets worse \
                 is the reward being misled.",
            )
            .table(["prompt", "rollouts", "answer", "reward"], rows);
    }
    for policy in &outcome.policies {
        let samples = policy.report.answers.samples.iter().map(|s| {
            vec![
                cell(&s.prompt),
                format!("{} ({:.2})", cell(&s.start_answer), s.start_score),
                format!("{} ({:.2})", cell(&s.answer), s.score),
            ]
        });
        report = report
            .section(&format!("Final answers: {}", policy.report.name))
            .table(
                ["test prompt", "start", "policy"],
                samples.collect::<Vec<_>>(),
            );
    }
    report
}
