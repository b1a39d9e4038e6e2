//! The command `data`: checks, tokens, conversions.

mod check;
#[path = "../common/mod.rs"]
mod common;
mod convert;
mod kinds;
mod ranked;
mod tokens;
mod wrong;

use std::fs;
use std::path::Path;

use common::{fixture, rows, run, succeed, text, write_rows};
use serde_json::{Value, json};

/// Returns the object that `data check --json` prints about one file.
fn checked(folder: &Path, arguments: &[&str]) -> Value {
    let output = succeed("data", folder, &[&["check", "--json"], arguments].concat());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    found["files"][0].clone()
}

/// Checks that the command ends with one line that contains all of `says`, and prints nothing else.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], says: &[&str]) {
    let output = run("data", folder, arguments);
    let told = text(&output.stderr);
    let case = format!("{}:\n{told}", arguments.join(" "));
    assert!(!output.status.success(), "{case}");
    assert!(output.stdout.is_empty(), "{case}");
    assert_eq!(told.lines().count(), 1, "{case}");
    assert!(told.starts_with("error: "), "{case}");
    for part in says {
        assert!(told.contains(part), "{part:?} is not in: {case}");
    }
}

fn pair(prompt: &str, chosen: &str, rejected: &str) -> String {
    json!({"prompt": prompt, "chosen": chosen, "rejected": rejected}).to_string()
}

/// Checks that one of the sentences of advice contains all of `says`.
#[track_caller]
fn advised(found: &Value, says: &[&str]) {
    let problems = found["problems"].as_array().unwrap();
    let said = |problem: &&Value| {
        says.iter()
            .all(|part| problem.as_str().unwrap().contains(part))
    };
    assert!(
        problems.iter().any(|problem| said(&problem)),
        "{says:?}: {problems:#?}"
    );
}
