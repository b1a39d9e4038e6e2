//! Scoring that is stopped by a signal.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// Number of rows: more than are scored before the signal comes.
const ROWS: usize = 60_000;

/// Runs `score` until its first line of progress, sends a signal, and returns the status and all lines.
fn stopped(folder: &Path, signal: &str, out: &str) -> (Option<i32>, Vec<String>) {
    let model = fixture("llama-reward").display().to_string();
    // A test may run where signals are ignored, which children inherit.
    let mut child = Command::new("env")
        .arg("--default-signal=INT,TERM,HUP")
        .args([common::PROGRAM, "score", "--model", &model])
        .args(["--data", "pairs.jsonl", "--out", out])
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut told = Vec::new();
    for line in lines.by_ref() {
        told.push(line.unwrap());
        if told.last().unwrap().starts_with("score ") {
            break;
        }
    }
    let kill = format!("kill -{signal} {}", child.id());
    let sent = Command::new("sh").args(["-c", &kill]).status();
    assert!(sent.unwrap().success());
    told.extend(lines.map(Result::unwrap));
    (child.wait().unwrap().code(), told)
}

#[test]
fn rows_that_are_scored_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &common::rows(ROWS));
    for (signal, status) in [("TERM", 143), ("INT", 130)] {
        let (code, told) = stopped(folder, signal, signal);
        assert_eq!(code, Some(status), "{told:?}");
        let written = fs::read_to_string(folder.join(signal)).unwrap();
        let rows = written.lines().count();
        assert!(0 < rows && rows < ROWS, "{told:?}");
        let says = format!("stopped: {rows} rows are scored and written");
        assert_eq!(told.last(), Some(&says), "{told:?}");
        assert!(
            written
                .lines()
                .all(|row| row.contains("\"rejected_score\""))
        );
    }
}
