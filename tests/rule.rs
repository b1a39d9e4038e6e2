//! Runs the command `rule` from start to end with a tiny model that writes noise, and with bad input.

mod common;

use std::fs;

use common::{files, fixture, json, run, succeed, text};

const SMALL: [&str; 16] = [
    "--prefer",
    "short",
    "--prompts",
    "40",
    "--test-prompts",
    "6",
    "--opening-tokens",
    "4",
    "--new-tokens",
    "50",
    "--batch",
    "8",
    "--iterations",
    "2",
    "--out",
    "run",
];

#[test]
fn pairs_policies_and_texts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = fixture("llama-untied").display().to_string();
    let arguments = [&["--model", &model][..], &SMALL].concat();
    succeed("rule", folder, &arguments);
    let run_folder = folder.join("run");
    let rows = fs::read_to_string(run_folder.join("pairs.jsonl")).unwrap();
    assert!(rows.lines().count() >= 8);
    for line in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            row["score_chosen"].as_f64() > row["score_rejected"].as_f64(),
            "{row}"
        );
        assert!(row["chosen"] != row["rejected"]);
    }
    let summary = json(&run_folder.join("summary.json"));
    for title in ["dpo", "iterative-dpo", "sera-dpo"] {
        let share = summary["win_rate"][title].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share));
        let weights = run_folder.join(format!("models/{title}/model.safetensors"));
        assert!(weights.exists());
    }
    assert_eq!(summary["judge"], "the rule");
    let report = fs::read_to_string(run_folder.join("report.md")).unwrap();
    assert!(report.contains("## Answers") && report.contains("Preferred: how short"));
    let before = files(&run_folder);
    let again = [&arguments[..], &["--resume"]].concat();
    let output = succeed("rule", folder, &again);
    assert!(text(&output.stdout).starts_with("already finished"));
    assert!(files(&run_folder) == before);
}

#[test]
fn what_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = fixture("llama-untied").display().to_string();
    let encoder = fixture("bert-mean").display().to_string();
    let refused = |arguments: &[&str], says: &str| {
        let output = run("rule", folder, arguments);
        let error = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert_eq!(error.trim_end().lines().count(), 1, "one line: {error}");
        assert!(error.contains(says), "{says}: {error}");
    };
    refused(&[], "give --model DIR");
    refused(&["--model", "nowhere"], "no such folder");
    refused(&["--model", &encoder], "causal language model");
    let with = |more: &[&str], says: &str| {
        refused(&[&["--model", &model][..], more].concat(), says);
    };
    with(&["--samples", "1"], "samples is 1 but must be at least 2");
    with(&["--prompts", "0"], "prompts is 0");
    with(&["--beta", "0"], "beta");
    with(&["--loss", "dpoo"], "dpoo");
    with(&["--prefer", "rude"], "happy");
    with(&["--new-tokens", "200"], "at most 64 tokens");
    let set = ["--set", "align.iterations=0"];
    with(&set, "iterations");
    assert!(!folder.join("runs").exists());
}

#[test]
fn options_stand_in_layers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(
        folder.join("rule.yaml"),
        "prefer: short\nalign:\n  iterations: 2\n",
    )
    .unwrap();
    let model = fixture("llama-untied").display().to_string();
    let arguments = [
        "--model",
        &model,
        "--config",
        "rule.yaml",
        "--new-tokens",
        "20",
        "--print-config",
    ];
    let printed = text(&succeed("rule", folder, &arguments).stdout);
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["prefer"], "short");
    assert_eq!(printed["align"]["iterations"], 2);
    assert_eq!(printed["align"]["max_length"], 10 + 20 + 2);
}
