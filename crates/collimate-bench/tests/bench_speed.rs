//! The measurements as a user starts them: without a file, with one side alone, with wrong inputs.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(work: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_collimate-bench"))
        .args(args)
        .current_dir(work)
        .output()
        .unwrap()
}

/// Returns the last line of a run that must succeed.
fn measured(work: &Path, args: &[&str]) -> Value {
    let run = bench(work, args);
    assert!(run.status.success(), "{args:?}: {run:?}");
    let out = String::from_utf8(run.stdout).unwrap();
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

/// Returns the only line of a run that must fail.
fn refused(work: &Path, args: &[&str]) -> String {
    let run = bench(work, args);
    assert!(!run.status.success(), "{args:?} succeeded");
    let errors = String::from_utf8(run.stderr).unwrap();
    let last = errors.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: "), "{errors}");
    last.to_owned()
}

fn number(line: &Value, name: &str) -> f64 {
    line[name]
        .as_f64()
        .unwrap_or_else(|| panic!("no {name} in {line}"))
}

#[test]
fn every_work_runs_without_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["sft", "--steps", "2", "--batch", "2"][..],
        &["rm", "--steps", "2", "--batch", "2"],
        &["dpo", "--steps", "2", "--batch", "2"],
        &[
            "generate",
            "--steps",
            "1",
            "--batch",
            "2",
            "--new-tokens",
            "3",
        ],
        &[
            "ppo",
            "--steps",
            "1",
            "--rollout-size",
            "4",
            "--mini-batch",
            "2",
            "--ppo-epochs",
            "1",
            "--new-tokens",
            "3",
        ],
    ] {
        let line = measured(folder.path(), args);
        assert_eq!(line["work"], args[0]);
        for name in [
            "real_tokens_per_s",
            "seconds",
            "gemm_share",
            "gemm_peak_gflops",
            "tokens",
        ] {
            assert!(number(&line, name) > 0.0, "{name}: {line}");
        }
        assert!(number(&line, "gemm_share") < 1.0, "{line}");
        assert_eq!(
            line["pairs_per_s"].is_number(),
            matches!(args[0], "rm" | "dpo")
        );
        if cfg!(target_os = "linux") {
            assert!(number(&line, "peak_rss_mb") > 50.0, "{line}");
        }
        let losses = line["losses"].as_array().unwrap();
        // Two timed steps, and one before the clock starts.
        assert_eq!(
            losses.len(),
            if matches!(args[0], "ppo" | "generate") {
                0
            } else {
                3
            }
        );
        if args[0] == "dpo" {
            let first = losses[0].as_f64().unwrap();
            assert!((first - std::f64::consts::LN_2).abs() < 1e-6, "{line}");
        }
    }
    assert_eq!(
        number(
            &measured(
                folder.path(),
                &[
                    "generate",
                    "--steps",
                    "1",
                    "--batch",
                    "2",
                    "--new-tokens",
                    "3"
                ]
            ),
            "tokens"
        ),
        6.0
    );
}

#[test]
fn cost_grows_from_process_to_process() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "growth", "--tokens", "16,32", "--vocab", "100,200", "--batch", "1", "--steps", "1",
    ];
    let line = measured(folder.path(), &args);
    let cells = |name: &str| line[name].as_array().unwrap().clone();
    let lengths = cells("lengths");
    assert_eq!(lengths.len(), 2);
    assert_eq!(number(&lengths[1], "tokens_per_pair"), 32.0);
    assert_eq!(number(&cells("vocabularies")[1], "vocab"), 200.0);
    assert!(
        lengths
            .iter()
            .all(|cell| number(cell, "tokens_per_s") > 0.0)
    );
}

#[cfg(unix)]
#[test]
fn both_sides_are_run_in_turn() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let peer = folder.path().join("peer");
    // The script must get a model, rows and the same steps; it writes down its arguments.
    let script = "#!/bin/sh\necho \"$@\" >> told\n\
        echo '{\"library\": \"peer 1\", \"pairs_per_s\": 0.001, \"real_tokens_per_s\": 1, \
        \"peak_rss_mb\": 1000, \"losses\": [1, 1]}'\n";
    std::fs::write(&peer, script).unwrap();
    std::fs::set_permissions(&peer, std::fs::Permissions::from_mode(0o755)).unwrap();
    let args = [
        "compare",
        "--python",
        "./peer",
        "--script",
        "bench.py",
        "--rounds",
        "2",
        "--out",
        "lines.jsonl",
        "dpo",
        "--steps",
        "1",
        "--batch",
        "2",
    ];
    let run = bench(folder.path(), &args);
    assert!(run.status.success(), "{run:?}");
    let table = String::from_utf8(run.stdout).unwrap();
    assert!(
        table.contains("median of 2 runs") && table.contains("peer 1"),
        "{table}"
    );
    assert!(table.contains("losses differ by at most"), "{table}");
    let told = std::fs::read_to_string(folder.path().join("told")).unwrap();
    assert_eq!(told.lines().count(), 2);
    let line = told.lines().next().unwrap();
    for part in [
        "bench.py dpo --model",
        "--steps 1",
        "--warmup 1",
        "--batch 2",
        "--threads",
    ] {
        assert!(line.contains(part), "{line}");
    }
    let lines = std::fs::read_to_string(folder.path().join("lines.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 4);
}

#[test]
fn wrong_inputs_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(refused(path, &["dpo", "--data", "none.jsonl"]).contains("none.jsonl"));
    let few = refused(path, &["dpo", "--steps", "1000000"]);
    assert!(
        few.contains("rows are needed") && few.contains("--steps"),
        "{few}"
    );
    let model = refused(path, &["dpo", "--model", "nowhere", "--steps", "1"]);
    assert!(model.contains("nowhere"), "{model}");
    let warm = refused(
        path,
        &[
            "ppo",
            "--warmup",
            "0",
            "--rollout-size",
            "2",
            "--mini-batch",
            "1",
        ],
    );
    assert!(warm.contains("--warmup 1"), "{warm}");
    let none = refused(
        path,
        &[
            "compare",
            "--python",
            "./no-such-program",
            "dpo",
            "--steps",
            "1",
        ],
    );
    assert!(none.contains("no-such-program"), "{none}");
    let run = bench(path, &["dpo", "--steps", "0"]);
    assert!(String::from_utf8_lossy(&run.stderr).contains("at least 1"));
}
