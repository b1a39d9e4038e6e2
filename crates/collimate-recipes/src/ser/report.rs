//! `report.md`: tables and plots for a person.

use collimate_nn::Backbone;
use collimate_run::{BarChart, BarSeries, Histogram, LineChart, LineSeries, Report, RunFolder};
use collimate_status::CostModel;
use serde_json::{Map, Value};

use super::config::SerConfig;
use super::outcome::{LoopReport, SerOutcome};
use super::summary::{recovery, status_name, summary};
use crate::RecipeError;

fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

fn optional(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

/// Notes of the caller for a report and its summary.
#[derive(Debug, Clone, Copy)]
pub struct ReportNotes<'a> {
    /// A paragraph on the data and the model.
    pub about: &'a str,
    /// Goes into the summary as it is.
    pub extra: &'a Map<String, Value>,
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
    write_report_with(outcome, config, run, ReportNotes { about, extra }, Ok)
}

/// [`write_report`] with more sections before the list of files.
///
/// # Errors
/// As [`write_report`], and what `more` says.
pub fn write_report_with<B: Backbone>(
    outcome: &SerOutcome<B>,
    config: &SerConfig,
    run: &RunFolder,
    notes: ReportNotes<'_>,
    more: impl FnOnce(Report) -> Result<Report, RecipeError>,
) -> Result<(), RecipeError> {
    let ReportNotes { about, extra } = notes;
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
    let report = next(more(report)?);
    report.write(run.path())?;
    Ok(())
}

fn models<B: Backbone>(mut report: Report, outcome: &SerOutcome<B>) -> Report {
    report = report.section("Test accuracy").text(
        "Share of test pairs whose chosen answer scores higher; a tie counts one half. The \
         interval is a 95 % bootstrap over prompts. *Steps* are those behind the model's weights \
         (in brackets: of all stages, where loops start anew). The test part was looked at once, after all \
         training. *Unseen* is the accuracy on test pairs that share no prompt (without prompts: no \
         text) with the rows of fine-tuning, training and validation, where that is not all of \
         them.",
    );
    let rows = outcome.models.iter().map(|m| {
        vec![
            m.name.clone(),
            m.human_labels.to_string(),
            match m.steps.own == m.steps.all {
                true => m.steps.own.to_string(),
                false => format!("{} ({})", m.steps.own, m.steps.all),
            },
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
    if outcome.fine_tuning_labels > 0 {
        let (more, seed) = (outcome.fine_tuning_labels, outcome.learnt.seed.len());
        report = report.text(&format!(
            "The column counts the labels of the reward models. The fine-tuning before them used the \
             chosen answers of {more} labelled pairs: these labels are human too, so `ser` stands on \
             {seed} + {more} = {} of them.",
            seed + more
        ));
    }
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
    precision(report, outcome)
}

/// The same in numbers: a point of the plot may stand for few pairs.
fn precision<B: Backbone>(report: Report, outcome: &SerOutcome<B>) -> Report {
    let curves: Vec<_> = outcome
        .loops
        .iter()
        .filter_map(|l| Some((l.index, &l.labels.as_ref()?.precision_curve)))
        .collect();
    let Some((_, first)) = curves.first() else {
        return report;
    };
    let head = ["Δp above".to_owned()]
        .into_iter()
        .chain(curves.iter().map(|(index, _)| format!("loop {index}")));
    let rows = first.iter().enumerate().map(|(row, point)| {
        let cells = curves.iter().map(|(_, curve)| {
            let point = &curve[row];
            optional(point.precision, |share| {
                format!("{} of {}", percent(share), point.kept)
            })
        });
        [point.threshold.to_string()]
            .into_iter()
            .chain(cells)
            .collect::<Vec<_>>()
    });
    report.table(head, rows.collect::<Vec<_>>())
}

fn cost<B: Backbone>(report: Report, outcome: &SerOutcome<B>, config: &SerConfig) -> Report {
    let model = CostModel::default();
    let loops = outcome.loops.len().saturating_sub(1);
    report.section("Cost").text(&format!(
        "By the paper's prices (appendix E: {} $ per human label, {:.3e} $ per sample scored), SER \
         costs {:.4} $ per sample, labelling everything {:.4} $.{}",
        model.human_label,
        model.inference,
        model.per_sample(config.seed_share, loops),
        model.per_sample(1.0, 0),
        match outcome.fine_tuning_labels {
            0 => String::new(),
            n => format!(" Both leave out the {n} labels of the fine-tuning, which both need."),
        }
    ))
}

fn next(report: Report) -> Report {
    report.section("Files").text(
        "`model/` is the evolved reward model: score texts with it by `collimate score` \
         (`--model` this folder`/model --data FILE`), or open it in Transformers (a decoder) or \
         Sentence Transformers (an encoder). `config.json` holds the options of this run, \
         `summary.json` its numbers, `metrics.jsonl` every training step.",
    )
}
