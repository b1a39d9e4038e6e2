//! Metrics as plots.

use std::collections::BTreeMap;

use collimate::run::{Figures, LineChart, LineSeries};
use serde_json::{Map, Value};

/// Points of one stage.
type Points = Vec<(f64, f64)>;

/// Returns a plot of each metric, with a line for each stage that has the metric. A metric without
/// a finite value has no plot.
pub(super) fn of(rows: &[Map<String, Value>]) -> Figures {
    let mut metrics: BTreeMap<&str, Vec<(&str, Points)>> = BTreeMap::new();
    for row in rows {
        let stage = row.get("stage").and_then(Value::as_str).unwrap_or("run");
        let Some(step) = row.get("step").and_then(Value::as_f64) else {
            continue;
        };
        for (name, value) in row {
            if name == "stage" || name == "step" {
                continue;
            }
            let Some(value) = value.as_f64().filter(|value| value.is_finite()) else {
                continue;
            };
            let stages = metrics.entry(name).or_default();
            match stages.iter_mut().find(|(known, _)| *known == stage) {
                Some((_, points)) => points.push((step, value)),
                None => stages.push((stage, vec![(step, value)])),
            }
        }
    }
    let mut names: Vec<String> = Vec::new();
    let curve = |(metric, stages): (&str, Vec<(&str, Points)>)| {
        let mut chart = LineChart::new(metric, "step", metric);
        for (stage, points) in stages {
            chart = chart.with(LineSeries::new(stage, points));
        }
        let mut name = format!("metric-{}", file_name(metric));
        while names.contains(&name) {
            name.push('_');
        }
        names.push(name.clone());
        (name, chart.into())
    };
    metrics.into_iter().map(curve).collect()
}

/// Replaces characters of a metric's name that some file systems refuse.
fn file_name(metric: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    metric.chars().map(safe).collect()
}
