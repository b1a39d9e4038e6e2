//! `summary.json` and `report.md` for a person.

use std::collections::BTreeMap;

use collimate_eval::Interval;
use collimate_losses::DirectLoss;
use collimate_run::{BarChart, BarSeries, LineChart, LineSeries, Report, RunFolder};
use collimate_train::metric_names as names;
use serde_json::{Map, Value, json};

use super::config::{PairSource, SelfRewardingConfig};
use super::outcome::{ModelReport, SelfRewardingOutcome};
use crate::sera::report::{optional, sample_blocks};
use crate::{AnswerReport, RecipeError};

/// What a run found out, as JSON.
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
        "evaluator": outcome.evaluator,
        "win_rate": win_rate,
        "judge": {
            "parse_rate": by_name(&|m| Some(m.judge.as_ref()?.parse_rate)),
            "agreement": by_name(&|m| Some(m.judge.as_ref()?.agreement?.estimate)),
            "correlation": by_name(&|m| Some(m.judge.as_ref()?.correlation?.1)),
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

fn without_samples(report: &AnswerReport) -> Value {
    let mut value = json!(report);
    if let Some(map) = value.as_object_mut() {
        map.retain(|key, _| !matches!(key.as_str(), "samples" | "reward_length" | "reward_score"));
    }
    value
}

/// Writes `summary.json`, `report.md` and its plots. `about` is a paragraph on the data and the
/// model; `extra` goes into the summary as it is.
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
    let mut summary = summary(outcome, config);
    for (name, value) in extra {
        summary[name] = value.clone();
    }
    run.write_summary(&summary)?;
    let (ift, eft, tasks) = outcome.seed_data;
    let seed = format!(
        "*sft* has learnt from {ift} demonstrations alone; *m1* from these, {eft} judgements and \
         {tasks} examples of posing tasks; every later model from pairs that the one before has \
         made and judged itself ({} with {}).",
        config.loss.name(),
        config.rubric.template().name(),
    );
    let cut = outcome.tokenize.iter().filter(|(_, t)| t.truncated > 0);
    let cut: Vec<String> = cut
        .map(|(name, t)| format!("{} of {} texts of {name}", t.truncated, t.pairs))
        .collect();
    let mut report = Report::new("Self-Rewarding").text(about).text(&seed);
    if !cut.is_empty() {
        let length = config.max_length;
        report = report.text(&format!("Cut to {length} tokens: {}.", cut.join(", ")));
    }
    if let Some(reason) = &outcome.stopped {
        report = report.text(&format!("**The loop ended early**: {reason}."));
    }
    let report = models(report, outcome);
    let report = judges(report, outcome);
    let report = iterations(report, outcome);
    let report = branches(report, outcome);
    let report = curves(report, run, outcome)?;
    let report = match outcome.models.iter().rev().find(|m| is_chain(&m.name)) {
        Some(last) => sample_blocks(
            report,
            "sft",
            &last.name,
            last.answers.iter().flat_map(|a| &a.samples),
        ),
        None => report,
    };
    report
        .section("Files")
        .text(
            "`models/` holds every model: write with one by `collimate generate`, or open it in \
             Transformers. `m1/`, `m2/`, … have what each model made: `tasks.jsonl`, \
             `candidates.jsonl`, `judgements.jsonl`, scores of the sources that are compared, and \
             `pairs-*.jsonl` in TRL's format; `answers/` the answers to the held-out prompts, \
             `judge_test/` the judgements of held-out pairs, `judge/cache.jsonl` every judgement, \
             `metrics.jsonl` every training step.",
        )
        .write(run.path())?;
    Ok(())
}

/// Whether a model is of the chain and no branch.
fn is_chain(name: &str) -> bool {
    !name.contains('-')
}

fn interval(value: &Interval) -> String {
    format!(
        "{:.3} ({:.3} – {:.3})",
        value.estimate, value.low, value.high
    )
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn models<M>(report: Report, outcome: &SelfRewardingOutcome<M>) -> Report {
    let before = outcome.model("sft").and_then(|m| m.perplexity);
    let rows = outcome.models.iter().map(|m| {
        let answers = m.answers.as_ref();
        vec![
            m.name.clone(),
            m.steps.to_string(),
            optional(answers, |a| interval(&a.mean_score)),
            optional(answers, |a| interval(&a.win_rate)),
            optional(answers, |a| format!("{:.1}", a.mean_tokens)),
            optional(answers, |a| percent(a.finished)),
            optional(m.task_accuracy, |a| format!("{a:.3}")),
            optional(m.perplexity, |p| format!("{p:.2}")),
            optional(m.perplexity.zip(before), |(p, before)| {
                format!("{:+.0} %", 100.0 * (p / before - 1.0))
            }),
        ]
    });
    let report = report
        .section("Models")
        .text(&format!(
            "*Score* is the mean of {} over held-out prompts, *win rate* the share of them on which \
             it is above that of the answer of *sft* (ties count one half); 95 % bootstrap \
             intervals over prompts. *Tasks* is the second scorer's mean. *Tax* is how much the \
             perplexity of held-out good answers rose. Models with a hyphen are branches: the same \
             start, candidates and steps, but pairs by another source.",
            outcome.evaluator.as_deref().unwrap_or("an evaluator (none was given)")
        ))
        .table(
            [
                "model",
                "steps",
                "score",
                "win rate",
                "tokens",
                "ended",
                "tasks",
                "perplexity",
                "tax",
            ],
            rows.collect::<Vec<_>>(),
        );
    if outcome.comparisons.is_empty() {
        return report;
    }
    let rows = outcome.comparisons.iter().map(|(name, r)| {
        let (won, tied, lost) = r.counts;
        vec![
            name.replace("_vs_", " against "),
            interval(&r.win_rate),
            format!("{won} / {tied} / {lost}"),
        ]
    });
    let report = report.text("Model against model:").table(
        ["models", "win rate", "won / tied / lost"],
        rows.collect::<Vec<_>>(),
    );
    let all = || outcome.comparisons.values().map(|r| &r.win_rate);
    let bars = BarSeries::new("win rate", all().map(|i| i.estimate).collect())
        .with_intervals(all().map(|i| (i.low, i.high)).collect());
    let labels = outcome
        .comparisons
        .keys()
        .map(|name| name.replace('_', " "));
    let chart = BarChart::new("Win rates", "models", "win rate", labels.collect()).with(bars);
    report.figure(
        "win_rate",
        chart,
        "Above one half the first model's answers score higher.",
    )
}

fn judges<M>(report: Report, outcome: &SelfRewardingOutcome<M>) -> Report {
    let judges = || {
        let models = outcome.models.iter();
        models.filter_map(|m| Some((&m.name, m.judge.as_ref()?)))
    };
    if judges().next().is_none() {
        return report;
    }
    let rows = judges().map(|(name, j)| {
        vec![
            name.clone(),
            j.judgements.to_string(),
            percent(j.parse_rate),
            j.pairs.to_string(),
            optional(j.agreement, |a| interval(&a)),
            j.ties.to_string(),
            optional(j.correlation, |(p, s)| format!("{p:+.2} / {s:+.2}")),
            optional(j.mean_score, |s| format!("{s:.2}")),
        ]
    });
    let report = report
        .section("Judges")
        .text(
            "Every model of the chain judges the same held-out pairs. *Agreement* is the share of \
             pairs whose better answer gets the higher score (ties count one half; 95 % bootstrap \
             interval over pairs), *correlation* that of its scores with the evaluator's (Pearson / \
             Spearman).",
        )
        .table(
            [
                "model",
                "judgements",
                "parsed",
                "pairs",
                "agreement",
                "ties",
                "correlation",
                "mean score",
            ],
            rows.collect::<Vec<_>>(),
        );
    let labels: Vec<String> = judges().map(|(name, _)| name.clone()).collect();
    let chart = BarChart::new("The models as judges", "model", "share", labels)
        .with(BarSeries::new(
            "agreement",
            judges()
                .map(|(_, j)| j.agreement.map_or(0.0, |a| a.estimate))
                .collect(),
        ))
        .with(BarSeries::new(
            "parse rate",
            judges().map(|(_, j)| j.parse_rate).collect(),
        ));
    report.figure("judges", chart, "A coin agrees with one half of the pairs.")
}

fn iterations<M>(report: Report, outcome: &SelfRewardingOutcome<M>) -> Report {
    let rows = outcome.iterations.iter().map(|i| {
        let (t, c) = (&i.tasks, &i.candidates);
        vec![
            i.model.clone(),
            format!("{} of {}", t.kept, t.written),
            format!(
                "{} / {} / {} / {}",
                t.similar,
                t.too_short + t.too_long,
                t.held_out,
                t.cut
            ),
            c.written.to_string(),
            format!("{} / {} / {}", c.empty, c.cut, c.too_long),
            format!("{} of {}", i.judged.parsed, i.judged.judgements),
            c.unscored.to_string(),
            format!("{:.0} / {:.0} s", t.seconds, c.seconds),
        ]
    });
    report
        .section("Iterations")
        .text(
            "What each model made. *Refused* counts texts that were too like a known task / of a \
             wrong length / prompts of the evaluation / not finished; *left out* candidates that \
             are empty / did not end in time / are too long to be judged; *unscored* those none of whose judgements could be \
             read. Seconds are for writing tasks / candidates.",
        )
        .table(
            [
                "by",
                "new tasks",
                "refused",
                "candidates",
                "left out",
                "judgements parsed",
                "unscored",
                "time",
            ],
            rows.collect::<Vec<_>>(),
        )
}

fn branches<M>(report: Report, outcome: &SelfRewardingOutcome<M>) -> Report {
    let rows = outcome.iterations.iter().flat_map(|i| {
        i.branches.iter().map(|b| {
            let dropped = |wanted: collimate_irm::NoPairReason| {
                let found = b.dropped.iter().find(|(reason, _)| *reason == wanted);
                found.map_or(0, |(_, n)| *n)
            };
            let others: usize = b.dropped.iter().map(|(_, n)| n).sum();
            let ties = dropped(collimate_irm::NoPairReason::EqualRewards);
            let name = b.model.as_deref().unwrap_or_default();
            let won = outcome.comparisons.get(&format!("{name}_vs_{}", i.model));
            vec![
                i.model.clone(),
                b.source.name().replace('_', " "),
                b.pairs.to_string(),
                format!("{ties} / {}", others - ties),
                optional(b.agreement, |a| percent(a.same_sign)),
                optional(b.agreement_in_common, |(share, n)| {
                    format!("{} of {n}", percent(share))
                }),
                format!("{:.1} s", b.scoring_seconds),
                b.steps.to_string(),
                format!("{:.0} s", b.training_seconds),
                optional(won, |w| interval(&w.win_rate)),
            ]
        })
    });
    let note = match outcome
        .iterations
        .iter()
        .flat_map(|i| &i.branches)
        .any(|b| b.source != PairSource::Judge)
    {
        true => {
            "The same candidates, put in order by several sources: who is right more often, and at \
             what cost? All branches of an iteration make the same number of steps."
        }
        false => "The pairs that each model made.",
    };
    report
        .section("Pairs")
        .text(note)
        .text(
            "*No pair* counts prompts whose candidates tie / that have none for another reason; \
             *agreement* is the share of pairs that the evaluator puts in the same order, *in common* \
             the same on the prompts where every source made a pair; the *win \
             rate* is that of the model that learnt from the pairs against the one that made them.",
        )
        .table(
            [
                "candidates of",
                "source",
                "pairs",
                "no pair",
                "agreement",
                "in common",
                "scoring",
                "steps",
                "training",
                "win rate",
            ],
            rows.collect::<Vec<_>>(),
        )
}

/// How the rewards went while training.
fn curves<M>(
    mut report: Report,
    run: &RunFolder,
    outcome: &SelfRewardingOutcome<M>,
) -> Result<Report, RecipeError> {
    let rows = run.metrics().rows()?;
    report = report
        .section("Curves")
        .text("Implicit rewards in preference training, means over the pairs of each step.");
    for branch in outcome.iterations.iter().flat_map(|i| &i.branches) {
        let series = |name: &str| -> Vec<(f64, f64)> {
            let mine = |row: &&Map<String, Value>| {
                row.get("stage").and_then(Value::as_str) == branch.model.as_deref()
            };
            let values = rows.iter().filter(mine);
            values
                .filter_map(|row| row.get(name).and_then(Value::as_f64))
                .enumerate()
                .map(|(step, value)| ((step + 1) as f64, value))
                .collect()
        };
        let chosen = series(names::REWARDS_CHOSEN);
        let Some(name) = branch.model.as_deref().filter(|_| !chosen.is_empty()) else {
            continue;
        };
        let chart = LineChart::new(format!("Implicit rewards: {name}"), "step", "reward")
            .with(LineSeries::new("chosen", chosen))
            .with(LineSeries::new("rejected", series(names::REWARDS_REJECTED)));
        report = report.figure(
            &format!("rewards_{name}"),
            chart,
            "Against the model that made the pairs.",
        );
    }
    Ok(report)
}
