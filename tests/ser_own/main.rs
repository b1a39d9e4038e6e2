//! `ser` on the user's own labels and an unlabelled pool.

#[path = "../common/mod.rs"]
mod common;
mod policies;
mod refusals;
#[path = "../../crates/collimate-remote/tests/server/mod.rs"]
mod server;
mod written;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use collimate::world::{World, WorldConfig, WorldPair};
use common::{command, files, json, run, succeed, text, tiny_world, without_seconds, write_rows};
use serde_json::{Value, json};
use server::{Reply, Request, Server};

/// Makes a folder with `sft/`, a small model of the synthetic world, and the world's pairs as
/// files: `labels.jsonl` (60), `pool.jsonl` (150), `prompts.jsonl` (40), `test.jsonl` (80).
fn workplace() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().to_owned();
    let mut tiny = json(&tiny_world(&folder));
    // A model whose answers end.
    tiny["sft"] = json!({"learning_rate": 3e-3, "epochs": 12.0, "batch_size": 8});
    fs::write(folder.join("world.json"), tiny.to_string()).unwrap();
    let base = [
        "--config",
        "world.json",
        "--out",
        "base",
        "--stop-after",
        "rm",
    ];
    succeed(
        "ser",
        &folder,
        &[&base[..], &["--loops", "0", "--no-baseline"]].concat(),
    );
    let world: WorldConfig = serde_json::from_value(tiny["world"].clone()).unwrap();
    let world = World::new(&world).unwrap();
    let train = world.train_pairs();
    write_rows(&folder.join("labels.jsonl"), &labelled(&train[..60]));
    write_rows(&folder.join("pool.jsonl"), &unlabelled(&train[60..210]));
    let prompts = train[210..250]
        .iter()
        .map(|row| json!({"prompt": row.pair.prompt}));
    let prompts: Vec<String> = prompts.map(|row| row.to_string()).collect();
    write_rows(&folder.join("prompts.jsonl"), &prompts);
    write_rows(
        &folder.join("test.jsonl"),
        &labelled(&world.test_pairs()[..80]),
    );
    let options = json!({
        "ser": {
            "max_length": 48, "max_loops": 2,
            "filter": {"thresholds": {"min_count": {"absolute": 8}}},
            "train": {"learning_rate": 3e-3, "epochs": 4.0, "batch_size": 16, "save_every": 3},
        },
        "policy_test_prompts": 10,
        "policy": {"watched": 2, "ppo": common::tiny_ppo()},
    });
    fs::write(folder.join("options.json"), options.to_string()).unwrap();
    (place, folder)
}

fn labelled(rows: &[WorldPair]) -> Vec<String> {
    let row = |row: &WorldPair| json!({"prompt": row.pair.prompt, "chosen": row.pair.chosen.text, "rejected": row.pair.rejected.text});
    rows.iter().map(|of| row(of).to_string()).collect()
}

/// Returns both answers of each pair, sorted, so that their order carries no label.
fn unlabelled(rows: &[WorldPair]) -> Vec<String> {
    let row = |row: &WorldPair| {
        let mut answers = [&row.pair.chosen.text, &row.pair.rejected.text];
        answers.sort();
        json!({"prompt": row.pair.prompt, "responses": answers})
    };
    rows.iter().map(|of| row(of).to_string()).collect()
}

const REAL: [&str; 8] = [
    "--config",
    "options.json",
    "--labelled",
    "labels.jsonl",
    "--unlabelled",
    "pool.jsonl",
    "--model",
    "base/sft",
];

/// Options of a short policy stage.
const POLICIES: [&str; 6] = [
    "--loops",
    "1",
    "--stop-after",
    "ppo",
    "--response-tokens",
    "10",
];

fn ser(folder: &Path, out: &str, more: &[&str]) -> String {
    let arguments = [&REAL[..], &["--out", out], more].concat();
    let output = succeed("ser", folder, &arguments);
    text(&output.stdout) + &text(&output.stderr)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn labels_and_a_pool_from_start_to_end() {
    let (_place, folder) = workplace();
    let told = ser(&folder, "run", &["--test", "test.jsonl"]);
    let out = folder.join("run");
    assert!(
        told.contains("Labels: 60 pairs; no validation pairs; 80 test pairs"),
        "{told}"
    );
    assert!(told.contains("Pool: 150 pairs without labels"), "{told}");
    let summary = json(&out.join("summary.json"));
    for name in ["loop0", "ser"] {
        let accuracy = summary["accuracy"][name].as_f64().unwrap();
        assert!((0.3..=1.0).contains(&accuracy), "{summary}");
    }
    // There is no truth and no all-labels model.
    assert!(summary["accuracy"]["full"].is_null());
    assert_eq!(summary["human_labels"]["all"], 60);
    assert_eq!(summary["seed_share"], 60.0 / 210.0);
    for l in summary["loops"].as_array().unwrap() {
        assert!(
            l["label_precision"].is_null() && l["accuracy"].is_null(),
            "{l}"
        );
    }
    assert!(
        !out.join("sft").exists(),
        "no fine-tuning on so few chosen answers"
    );
    assert!(out.join("model/model.safetensors").exists());

    // Without test pairs nothing is measured, and the resulting model is the same.
    let told = ser(&folder, "blind", &[]);
    assert!(told.contains("ser              test accuracy –"), "{told}");
    let model = |out: &str| fs::read(folder.join(out).join("model/model.safetensors")).unwrap();
    assert!(
        model("blind") == model("run"),
        "the test part changed the model"
    );
    let report = fs::read_to_string(folder.join("blind/report.md")).unwrap();
    assert!(
        !report.contains("NaN") && report.contains("Pool: 150 pairs"),
        "{report}"
    );

    let before = files(&out);
    let again = succeed("ser", &folder, &["--resume", "--out", "run"]);
    assert!(text(&again.stdout).starts_with("already finished"));
    assert!(
        files(&out) == before,
        "--resume of a finished run changed a byte"
    );
    handed_on(&folder);
}

/// Checks that the trainers and `ser` itself can read the files that the run hands on.
fn handed_on(folder: &Path) {
    let out = folder.join("blind");
    let pool: BTreeSet<String> = lines(&folder.join("pool.jsonl"))
        .iter()
        .map(shown)
        .collect();
    if !out.join("self-labelled.jsonl").exists() {
        return;
    }
    let labelled = lines(&out.join("self-labelled.jsonl"));
    for row in &labelled {
        assert!(pool.contains(&shown(&json!({"prompt": row["prompt"], "responses": sorted(&row["chosen"], &row["rejected"])}))), "{row}");
        assert!(
            (0.5..=1.0).contains(&row["probability"].as_f64().unwrap()),
            "{row}"
        );
        assert!(row["loop"].is_u64() && row["rule"].is_string(), "{row}");
    }
    let short = [
        "--model",
        "base/sft",
        "--max-length",
        "48",
        "--data",
        "blind/self-labelled.jsonl",
    ];
    for command in ["reward", "dpo"] {
        let output = succeed(command, folder, &[&short[..], &["--dry-run"]].concat());
        let told = text(&output.stdout);
        let says = format!("{0} rows read as trl, {0} kept", labelled.len());
        assert!(told.contains(&says), "{command}: {told}");
    }
    let next = lines(&out.join("ask-next.jsonl"));
    for row in &next {
        let answers = sorted(&row["response_a"], &row["response_b"]);
        assert!(
            pool.contains(&shown(
                &json!({"prompt": row["prompt"], "responses": answers})
            )),
            "{row}"
        );
        let disagreement = row["disagreement"].as_f64().unwrap();
        assert!((0.0..=2f64.ln()).contains(&disagreement), "{row}");
    }
    // The pairs to label next form a pool again.
    let (labels, pool) = (
        ["--labelled", "labels.jsonl"],
        ["--unlabelled", "blind/ask-next.jsonl"],
    );
    let arguments = [&labels[..], &pool, &["--model", "base/sft", "--dry-run"]].concat();
    let told = text(&succeed("ser", folder, &arguments).stdout);
    assert!(
        told.contains(&format!("{} pairs without labels", next.len())),
        "{told}"
    );
}

fn sorted(a: &Value, b: &Value) -> Value {
    let mut both = [a.as_str().unwrap(), b.as_str().unwrap()];
    both.sort_unstable();
    json!(both)
}

fn shown(row: &Value) -> String {
    json!([row["prompt"], row["responses"]]).to_string()
}

#[test]
fn the_same_labels_in_other_files_and_orders_give_the_same_model() {
    let (_place, folder) = workplace();
    ser(&folder, "one", &["--loops", "1"]);
    let labels = fs::read_to_string(folder.join("labels.jsonl")).unwrap();
    let labels: Vec<String> = labels.lines().map(str::to_owned).collect();
    write_rows(&folder.join("first.jsonl"), &labels[..25]);
    write_rows(&folder.join("second.jsonl"), &labels[25..]);
    // The pool as pairs whose label is not read, with the rows reversed.
    let pairs: Vec<String> = lines(&folder.join("pool.jsonl"))
        .iter()
        .rev()
        .map(|row| {
            let answers = &row["responses"];
            json!({"prompt": row["prompt"], "chosen": answers[1], "rejected": answers[0]})
                .to_string()
        })
        .collect();
    write_rows(&folder.join("pairs.jsonl"), &pairs);
    let arguments = [
        "--config",
        "options.json",
        "--model",
        "base/sft",
        "--loops",
        "1",
        "--out",
        "other",
        "--labelled",
        "first.jsonl",
        "--labelled",
        "second.jsonl",
        "--unlabelled",
        "pairs.jsonl",
    ];
    succeed("ser", &folder, &arguments);
    let model = |out: &str| fs::read(folder.join(out).join("model/model.safetensors")).unwrap();
    assert!(model("one") == model("other"));
}

#[test]
fn what_is_dropped_is_told() {
    let (_place, folder) = workplace();
    let labels = lines(&folder.join("labels.jsonl"));
    let swap = |row: &Value| json!({"prompt": row["prompt"], "chosen": row["rejected"], "rejected": row["chosen"]});
    // The first pair is labelled 2 : 1, the second 1 : 1; the third pair is in the pool, swapped.
    let more: Vec<String> = [&labels[0], &swap(&labels[0]), &swap(&labels[1])]
        .map(Value::to_string)
        .to_vec();
    write_rows(&folder.join("more.jsonl"), &more);
    let mut pool = fs::read_to_string(folder.join("pool.jsonl")).unwrap();
    pool += &swap(&labels[2])
        .to_string()
        .replace("\"chosen\"", "\"response_a\"")
        .replace("\"rejected\"", "\"response_b\"");
    pool += "\n";
    let first = pool.lines().next().unwrap().to_owned();
    pool += &(first + "\n");
    fs::write(folder.join("pool.jsonl"), pool).unwrap();
    let told = ser(
        &folder,
        "run",
        &["--labelled", "more.jsonl", "--loops", "0"],
    );
    for says in [
        "Labels: 59 pairs",
        "further labels that agree: 1",
        "labelled both ways, the majority counts: 1",
        "labelled both ways equally often, dropped: 1",
        "Pool: 150 pairs",
        "dropped (among the labels: 1, given twice: 1)",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
    // Test pairs that were also trained on.
    let shared = fs::read_to_string(folder.join("labels.jsonl")).unwrap();
    fs::write(folder.join("shared.jsonl"), shared).unwrap();
    let told = ser(
        &folder,
        "shared",
        &["--test", "shared.jsonl", "--loops", "0"],
    );
    assert!(
        told.contains("warning: 60 of 60 test pairs are among the labels"),
        "{told}"
    );
    // Columns of answers with a label; all labels name the same side.
    let sided: Vec<String> = labels
        .iter()
        .map(|row| json!({"prompt": row["prompt"], "response_a": row["chosen"], "response_b": row["rejected"], "label": "a"}).to_string())
        .collect();
    write_rows(&folder.join("labels.jsonl"), &sided);
    let told = ser(&folder, "sided", &["--loops", "0"]);
    assert!(
        told.contains("all 60 labels name the first answer"),
        "{told}"
    );
}

#[test]
fn a_dry_run_counts_labels_and_pool() {
    let (_place, folder) = workplace();
    let arguments = [&REAL[..], &["--dry-run"]].concat();
    let told = text(&succeed("ser", &folder, &arguments).stdout);
    for says in [
        "60 rows read as trl",
        "150 pairs without labels",
        // 4, 8, 16, 32 and 64 passes of 3 steps over 48 labels, by 5 folds: 74.4 steps on average.
        "25 times 75 steps",
        "60 rows,",
        "210 rows,",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
    let written = [
        "--unlabelled",
        "prompts.jsonl",
        "--policy",
        "base/sft",
        "--responses",
        "4",
    ];
    let told = text(&succeed("ser", &folder, &[&arguments[..], &written].concat()).stdout);
    assert!(
        told.contains("at most 120 of 4 answers to each of 40 prompts"),
        "{told}"
    );
}

#[test]
fn an_encoder_learns_from_labels_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows = common::rows(90);
    write_rows(&folder.join("labels.jsonl"), &rows[..30]);
    write_rows(&folder.join("pool.jsonl"), &rows[30..]);
    let base = common::fixture("bert-mean").display().to_string();
    let arguments = [
        "--labelled",
        "labels.jsonl",
        "--unlabelled",
        "pool.jsonl",
        "--model",
        &base,
        "--max-length",
        "32",
        "--loops",
        "1",
        "--out",
        "run",
    ];
    let told = text(&succeed("ser", folder, &arguments).stderr);
    assert!(!told.contains("no policy is trained"), "{told}");
    assert!(folder.join("run/model/model.safetensors").exists());
}
