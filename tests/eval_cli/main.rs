//! The command `eval`: its numbers, the files that it keeps, and the input that it refuses.

mod answers;
mod bad_input;
mod choices;
#[path = "../common/mod.rs"]
mod common;
mod exact;
mod instructions;
mod lists;
mod pairs;
mod prompts;
mod refusals;
#[path = "../../crates/collimate-remote/tests/server/mod.rs"]
mod server;

use std::fs;
use std::path::Path;

use common::{fixture, json, run, succeed, text, write_rows};
use serde_json::{Value, json};
use server::{Reply, Request, Server};

/// Reads the rows of a file of JSON lines.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn rows(path: &Path, rows: &[Value]) {
    let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    write_rows(path, &rows);
}

#[track_caller]
fn near(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap_or(f64::NAN);
    assert!((value - expected).abs() < 1e-6, "{value} {expected}");
}

fn answer(prompt: &str, completion: &str, category: &str) -> Value {
    json!({"prompt": prompt, "completion": completion, "category": category})
}

/// Checks that the command ends with one line of error that contains all of `says`, and leaves no
/// `out`.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], says: &[&str]) {
    let mut all = arguments.to_vec();
    all.extend(["--out", "out"]);
    let output = run("eval", folder, &all);
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{all:?}");
    assert_eq!(stderr.lines().count(), 1, "{all:?}: {stderr}");
    assert!(stderr.starts_with("error: "), "{all:?}: {stderr}");
    for part in says {
        assert!(
            stderr.contains(part),
            "{part:?} is not in: {all:?}: {stderr}"
        );
    }
    assert!(!folder.join("out").exists(), "{all:?} left something");
}
