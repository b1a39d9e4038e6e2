//! `report.md`: tables and plots of a SER run.

use collimate_nn::Backbone;
use collimate_run::{
    BarChart, BarSeries, Figures, Histogram, LineChart, LineSeries, Report, RunFolder,
};
use collimate_status::CostModel;
use serde_json::{Map, Value, json};

use super::config::SerConfig;
use super::outcome::{LoopReport, SerOutcome};
use super::summary::summary;
use crate::{RecipeError, report};

/// Additions of the caller to a report and its summary.
#[derive(Debug, Clone, Copy)]
pub struct ReportNotes<'a> {
    /// A paragraph on the data and the model.
    pub about: &'a str,
    /// Values that are copied into the summary.
    pub extra: &'a Map<String, Value>,
    /// A sentence on further files that the caller writes, for the list of files; may be empty.
    pub files: &'a str,
}

/// Writes `summary.json`, `report.md` and its plots.
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
    write_report_with(
        outcome,
        config,
        run,
        ReportNotes {
            about,
            extra,
            files: "",
        },
        Vec::new(),
    )
}

/// Writes the same as [`write_report`], with more sections before the list of files.
///
/// # Errors
/// Same as [`write_report`].
pub fn write_report_with<B: Backbone>(
    outcome: &SerOutcome<B>,
    config: &SerConfig,
    run: &RunFolder,
    notes: ReportNotes<'_>,
    parts: Vec<Report>,
) -> Result<(), RecipeError> {
    let (parts, of_parts): (Vec<_>, Vec<_>) = parts.into_iter().map(Report::into_parts).unzip();
    let model = CostModel::default();
    let loops = outcome.loops.len().saturating_sub(1);
    let values = json!({
        "about": notes.about,
        "cost": {
            "human_label": model.human_label,
            "inference": model.inference,
            "ser": model.per_sample(config.seed_share, loops),
            "all": model.per_sample(1.0, 0),
        },
        "parts": parts,
        "files": notes.files,
    });
    let mut figures = figures(outcome);
    figures.extend(of_parts.into_iter().flatten());
    let summary = summary(outcome, config);
    report::write(run, "ser.md", summary, notes.extra, values, figures)
}

fn figures<B: Backbone>(outcome: &SerOutcome<B>) -> Figures {
    let mut figures = Vec::new();
    // Without a validation part there is no accuracy to draw.
    if outcome.loops.iter().any(|l| l.validation.is_some()) {
        figures.push(("accuracy".to_owned(), accuracy(outcome).into()));
    }
    figures.push(("data".to_owned(), data(&outcome.loops).into()));
    if let Some(gains) = gains(outcome) {
        figures.push(("gains".to_owned(), gains.into()));
    }
    let mut gaps = Histogram::new("Margins on the test part", "r(chosen) − r(rejected)");
    for name in ["loop0", "ser", "full"] {
        if let Some(model) = outcome.model_report(name) {
            let test = model.test.iter().flat_map(|test| &test.gaps);
            gaps = gaps.with(name, test.map(|g| f64::from(*g)).collect());
        }
    }
    if outcome.test_pairs() > 0 {
        figures.push(("gaps".to_owned(), gaps.into()));
    }
    let precision = precision(&outcome.loops);
    if !precision.series.is_empty() {
        figures.push(("precision".to_owned(), precision.into()));
    }
    figures
}

fn accuracy<B: Backbone>(outcome: &SerOutcome<B>) -> LineChart {
    let loops = outcome.loops.iter();
    let points = loops.filter_map(|l| Some((l.index as f64, l.validation?.accuracy)));
    let last = outcome.loops.last().map_or(0.0, |l| l.index as f64);
    let chart = LineChart::new("Validation accuracy per loop", "loop", "accuracy")
        .with(LineSeries::new("SER", points.collect()));
    let full = outcome
        .model_report("full")
        .and_then(|full| full.validation);
    match full {
        Some(full) => {
            let level = full.accuracy;
            chart.with(LineSeries::new(
                "all labels",
                vec![(0.0, level), (last, level)],
            ))
        }
        None => chart,
    }
}

/// Draws the test accuracy of each model minus that of Loop 0; `None` without a comparison.
fn gains<B: Backbone>(outcome: &SerOutcome<B>) -> Option<BarChart> {
    let against_zero = outcome.significance.iter().filter(|s| s.over == "loop0");
    let (mut names, mut values, mut intervals) = (Vec::new(), Vec::new(), Vec::new());
    for s in against_zero {
        let d = &s.difference;
        names.push(s.of.clone());
        values.push(100.0 * d.estimate);
        intervals.push((100.0 * d.low, 100.0 * d.high));
    }
    let title = "Gain in test accuracy over Loop 0";
    let gains = BarSeries::new("gain", values).with_intervals(intervals);
    (!names.is_empty())
        .then(|| BarChart::new(title, "model", "percentage points", names).with(gains))
}

fn data(loops: &[LoopReport]) -> BarChart {
    let names: Vec<String> = loops.iter().map(|l| l.index.to_string()).collect();
    let bars = |name: &str, pairs: &dyn Fn(&LoopReport) -> usize| {
        BarSeries::new(name, loops.iter().map(|l| pairs(l) as f64).collect())
    };
    BarChart::new("Training pairs per loop", "loop", "pairs", names)
        .with(bars("human labels", &|l| l.human_labels))
        .with(bars("self-labelled", &|l| l.train_pairs - l.human_labels))
}

fn precision(loops: &[LoopReport]) -> LineChart {
    let mut chart = LineChart::new(
        "Precision of self-labels",
        match loops
            .iter()
            .find_map(|l| l.labels.as_ref())
            .map(|l| l.rule.as_str())
        {
            Some("calibrated" | "noisy_ensemble") => "threshold for the probability of the label",
            _ => "threshold for Δp",
        },
        "share of right self-labels",
    );
    for l in loops {
        let curve = l.labels.iter().flat_map(|labels| &labels.precision_curve);
        let points: Vec<(f64, f64)> = curve
            .filter_map(|point| Some((point.threshold, point.precision?)))
            .collect();
        if !points.is_empty() {
            chart = chart.with(LineSeries::new(format!("loop {}", l.index), points));
        }
    }
    chart
}
