//! Files with many rows: tokens on disk, filters, flat memory; and numbers of pairs.

#[path = "../common/mod.rs"]
mod common;
mod filter;
#[cfg(target_os = "linux")]
mod flat;
mod numbers;
mod score;
mod store;

use std::fs;
use std::path::Path;

use common::{command, fixture, json, run, succeed, text, write_rows};
use serde_json::{Value, json};

/// Reads a file of JSON lines.
fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns the logged values of a run under a name.
fn logged(run: &Path, name: &str) -> Vec<f64> {
    let rows = json_lines(&run.join("metrics.jsonl"));
    rows.iter().filter_map(|row| row[name].as_f64()).collect()
}

fn near(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    assert!(!a.is_empty());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{a} is not {b}");
    }
}

fn model() -> String {
    fixture("llama-untied").display().to_string()
}
