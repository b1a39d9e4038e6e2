//! Memory that does not grow with the number of rows. `cargo xtask rows` is the long form.

use std::io::{BufWriter, Write};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use super::*;

/// Largest ratio of the peaks.
const FLAT: f64 = 1.15;

/// Writes pairs with scores.
fn pairs(path: &Path, count: usize) {
    let mut file = BufWriter::new(fs::File::create(path).unwrap());
    for index in 0..count {
        let words = "the small river answers slowly ".repeat(1 + index % 4);
        let (a, b) = (
            (index * 7919 % 1000) as f64 / 100.0,
            (index * 31 % 1000) as f64 / 100.0,
        );
        writeln!(
            file,
            r#"{{"prompt": "{index} {words}?", "chosen": "yes {words}", "rejected": "no {words}", "chosen_score": {a}, "rejected_score": {b}}}"#
        )
        .unwrap();
    }
    file.flush().unwrap();
}

/// Runs a command and returns the peak of its resident memory in KiB.
fn peak(name: &str, folder: &Path, arguments: &[&str]) -> u64 {
    let mut child = command(name)
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = loop {
        let read = fs::read_to_string(format!("/proc/{}/status", child.id()));
        let text = read.unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmHWM:"));
        let found = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        peak = peak.max(found.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(1));
    };
    assert!(status.success(), "{name} {arguments:?}: {status}");
    peak
}

#[test]
fn memory_is_flat_from_fifty_thousand_to_three_hundred_thousand_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    pairs(&path.join("few.jsonl"), 50_000);
    pairs(&path.join("many.jsonl"), 300_000);
    let filter = |file: &str, rule: &'static [&'static str]| {
        let all = [&["filter", file, "--out", "kept.jsonl", "--force"], rule].concat();
        peak("data", path, &all)
    };
    let check = |file: &str| peak("data", path, &["check", file]);
    let status: &[&str] = &["--rule", "status"];
    let margin: &[&str] = &["--rule", "margin", "--keep", "0.3"];
    let model = model();
    let store = |file: &'static str| {
        // The same number of steps; the store is built anew for each file.
        peak(
            "dpo",
            path,
            &[
                "--data",
                file,
                "--model",
                &model,
                "--max-length",
                "32",
                "--steps",
                "1",
                "--batch",
                "8",
                "--token-store",
                "store",
                "--out",
                file.trim_end_matches(".jsonl"),
            ],
        )
    };
    for (name, few, many) in [
        ("store", store("few.jsonl"), store("many.jsonl")),
        ("check", check("few.jsonl"), check("many.jsonl")),
        (
            "status",
            filter("few.jsonl", status),
            filter("many.jsonl", status),
        ),
        (
            "margin",
            filter("few.jsonl", margin),
            filter("many.jsonl", margin),
        ),
    ] {
        let ratio = many as f64 / few as f64;
        println!("{name}: {few} KiB, {many} KiB");
        assert!(ratio < FLAT, "{name}: {few} KiB become {many} KiB");
    }
}
