//! Mistakes of a first user: wrong flags, wrong files, places that cannot be written, runs that are
//! stopped.

mod command_line;
#[path = "../common/mod.rs"]
mod common;
mod configuration;
mod folders;
mod one_prompt;
mod places;
#[cfg(target_os = "linux")]
mod stopped;

use std::fs;
use std::path::Path;

use common::{fixture, run, succeed, text, write_rows};
use serde_json::json;

/// Checks that the command ends with one line on standard error that contains all of `says`, and
/// returns the status.
#[track_caller]
fn refused(name: &str, folder: &Path, arguments: &[&str], says: &[&str]) -> Option<i32> {
    let output = run(name, folder, arguments);
    let told = text(&output.stderr);
    let case = format!("{name} {}:\n{told}", arguments.join(" "));
    assert!(!output.status.success(), "{case}");
    assert_eq!(told.lines().count(), 1, "{case}");
    for part in says {
        assert!(told.contains(part), "{part:?} is not in: {case}");
    }
    output.status.code()
}

/// Returns the path of a language model.
fn model() -> String {
    fixture("llama-untied").display().to_string()
}
