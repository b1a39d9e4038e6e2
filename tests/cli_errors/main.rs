//! Bad input gives one line that names file, line or option and what to do. Nothing is left behind.

mod background;
#[path = "../common/mod.rs"]
mod common;
mod counts;
mod data;
mod files;
mod generate;
mod models;
mod options;

use std::fs;
use std::path::Path;
use std::time::Instant;

use common::{copy_folder, fixture, rows, run, text, tiny_world, write_rows};
use serde_json::{Value, json};

/// Checks that the command ends with one line that starts with `error:` and contains all of `says`,
/// and that it leaves nothing at `out`.
#[track_caller]
pub(crate) fn refused(name: &str, folder: &Path, arguments: &[&str], says: &[&str]) {
    let mut all = arguments.to_vec();
    all.extend(["--out", "out"]);
    let output = run(name, folder, &all);
    let stderr = text(&output.stderr);
    let case = format!("{name} {}:\n{stderr}", all.join(" "));
    assert!(!output.status.success(), "{case}");
    assert_eq!(stderr.lines().count(), 1, "{case}");
    assert!(stderr.starts_with("error: "), "{case}");
    for part in says {
        assert!(stderr.contains(part), "{part:?} is not in: {case}");
    }
    assert!(!folder.join("out").exists(), "left something: {case}");
    assert!(output.stdout.is_empty(), "{case}");
}

/// Makes a folder with good data, and returns the path of a model.
pub(crate) fn workplace() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    write_rows(&folder.path().join("good.jsonl"), &rows(60));
    (folder, fixture("llama-reward").display().to_string())
}

/// Checks that `ser` and `score` refuse a file.
#[track_caller]
pub(crate) fn data_refused(folder: &Path, model: &str, file: &str, says: &[&str]) {
    let arguments = ["--data", file, "--model", model, "--max-length", "64"];
    refused(
        "ser",
        folder,
        &[&arguments[..], &["--simulate"]].concat(),
        says,
    );
    refused("score", folder, &arguments, says);
}
