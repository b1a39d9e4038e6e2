//! Metrics as curves.

use serde_json::{Map, Value};

/// Returns steps and values of a metric, from the rows of `metrics.jsonl` whose stage passes
/// `is_wanted`.
///
/// # Examples
/// ```
/// let rows = [("sft", 1, 0.5), ("dpo", 1, 0.7), ("sft", 2, 0.4)]
///     .map(|(stage, step, loss)| serde_json::json!({"stage": stage, "step": step, "loss": loss}))
///     .map(|row| row.as_object().cloned().unwrap_or_default());
/// let curve = collimate_run::curve(&rows, |stage| stage == "sft", "loss");
/// assert_eq!(curve, [(1.0, 0.5), (2.0, 0.4)]);
/// ```
pub fn curve(
    rows: &[Map<String, Value>],
    is_wanted: impl Fn(&str) -> bool,
    metric: &str,
) -> Vec<(f64, f64)> {
    let stage = |row: &&Map<String, Value>| {
        row.get("stage")
            .and_then(Value::as_str)
            .is_some_and(&is_wanted)
    };
    let points = rows.iter().filter(stage);
    points
        .filter_map(|row| Some((row.get("step")?.as_f64()?, row.get(metric)?.as_f64()?)))
        .collect()
}
