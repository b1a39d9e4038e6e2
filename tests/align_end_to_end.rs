//! Runs `dpo` and `sera` from start to end on a tiny world and on files, killed and resumed.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{command, files, json, root, run, succeed, text, write_rows};
use serde_json::{Value, json};

/// Writes the options of a synthetic world and a decoder that train in seconds.
fn tiny(folder: &Path) -> String {
    let config = json!({
        "world": {"pairs": 300, "validation_pairs": 40, "test_pairs": 40},
        "prompts": 24,
        "llama": {
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 64,
        },
        "pretrain_texts": 256,
        "sft": {"learning_rate": 3e-3, "epochs": 2.0, "save_every": 2},
        "align": {
            "max_length": 48,
            "responses": {"max_new_tokens": 12},
            "train": {"learning_rate": 1e-3, "save_every": 3},
        },
    });
    let path = folder.join("tiny.json");
    fs::write(&path, config.to_string()).unwrap();
    path.display().to_string()
}

fn share(value: &Value) -> f64 {
    let share = value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"));
    assert!((0.0..=1.0).contains(&share), "{share}");
    share
}

fn policy<'a>(summary: &'a Value, title: &str) -> &'a Value {
    let mut all = summary["policies"].as_array().unwrap().iter();
    all.find(|p| p["title"] == title)
        .unwrap_or_else(|| panic!("no {title}"))
}

#[test]
fn a_run_of_sera_says_everything() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny(folder);
    let noise = [
        "--label-noise",
        "0.4",
        "--methods",
        "base,iterative,sera,best_sera,anchored",
        "--devices",
        "every",
        // Nearly all answers of such a small model are cut.
        "--set",
        "align.irm.cut=keep",
        "--set",
        "align.anchors.gate=0.25",
        "--set",
        "align.anchors.agreement=0.5",
    ];
    succeed(
        "sera",
        folder,
        &[&["--config", &config, "--out", "run"], &noise[..]].concat(),
    );
    let run = folder.join("run");
    let summary = json(&run.join("summary.json"));
    let mut steps = Vec::new();
    for method in [
        "dpo",
        "iterative-dpo",
        "sera-dpo",
        "best-sera-dpo",
        "anchored-dpo",
    ] {
        share(&summary["win_rate"][method]);
        share(&summary["accuracy"][method]);
        assert!(summary["tax"][method].is_f64());
        let policy = policy(&summary, method);
        steps.push(policy["steps"].as_u64().unwrap());
        assert!(policy["tax"].is_f64());
        let counts = policy["answers"]["counts"].as_array().unwrap();
        assert_eq!(counts.iter().map(|c| c.as_u64().unwrap()).sum::<u64>(), 24);
        assert!(
            run.join(format!("models/{method}/model.safetensors"))
                .exists()
        );
    }
    assert_eq!(steps[0], steps[1]);
    assert_eq!(steps[0], steps[2], "the same number of updates");
    assert_eq!(steps[0], steps[3]);
    assert_eq!(steps[0], steps[4]);
    assert_eq!(summary["win_rate"]["sft"], 0.5);
    let tried = policy(&summary, "best-sera-dpo")["tried"]
        .as_array()
        .unwrap();
    assert_eq!(tried.len(), 3, "K̃ of 0, 0.3 and 0.5");
    assert_eq!(tried.iter().filter(|t| t["chosen"] == true).count(), 1);
    let reviewed = &policy(&summary, "sera-dpo")["iterations"][1]["selection"];
    let all = share(&reviewed["noisy_share_of_all"]);
    assert!((all - 0.4).abs() < 0.01, "{all}");
    share(&reviewed["noisy_share"]);
    let anchored = &policy(&summary, "anchored-dpo")["iterations"][2]["selection"];
    share(&anchored["policy_agreement"]);
    assert!(anchored["responses"]["unlikely"].as_u64().unwrap() > 0);
    assert_eq!(anchored["devices"].as_array().unwrap().len(), 12);
    let report = fs::read_to_string(run.join("report.md")).unwrap();
    for part in [
        "## Policies",
        "## Iterations",
        "## Margins and scores",
        "## Overlap of selections",
        "## Share of own pairs",
        "## Anchors",
        "## Devices",
        "## Curves",
        "## Answers",
        "| sera-dpo",
    ] {
        assert!(report.contains(part), "{part}");
    }
    for plot in [
        "win_rate",
        "logps_dpo",
        "logps_sera-dpo",
        "logps_best-sera-dpo",
        "rewards_iterative-dpo",
    ] {
        assert!(report.contains(&format!("plots/{plot}.svg")), "{plot}");
        assert!(run.join(format!("plots/{plot}.png")).exists(), "{plot}");
    }
    // The pairs can be read by other programs, and by `dpo`.
    let pairs = run
        .join("selections/sera-dpo-2.jsonl")
        .display()
        .to_string();
    let model = run.join("models/sera-dpo").display().to_string();
    let more = [
        "--data",
        &pairs,
        "--model",
        &model,
        "--max-length",
        "48",
        "--loss",
        "simpo",
        "--lora",
    ];
    succeed("dpo", folder, &[&more[..], &["--out", "more"]].concat());
    let more = json(&folder.join("more/summary.json"));
    assert_eq!(more["judge"], Value::Null);
    share(&policy(&more, "simpo")["validation_accuracy"]);

    let before = files(&run);
    let output = succeed("sera", folder, &["--resume", "--out", "run"]);
    assert!(text(&output.stdout).starts_with("already finished"));
    assert!(
        files(&run) == before,
        "--resume of a finished run changed a byte"
    );
}

fn models(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = run.join("models");
    let read =
        |(path, bytes): (PathBuf, Vec<u8>)| (path.strip_prefix(&folder).unwrap().to_owned(), bytes);
    files(&folder).into_iter().map(read).collect()
}

#[test]
fn gradient_checkpointing_changes_no_byte_of_the_models() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny(folder);
    let options = ["--config", &config, "--methods", "base", "--out"];
    succeed("sera", folder, &[&options[..], &["plain"]].concat());
    let lean = ["lean", "--gradient-checkpointing"];
    succeed("sera", folder, &[&options[..], &lean].concat());
    let [plain, lean] = ["plain", "lean"].map(|name| models(&folder.join(name)));
    assert!(!plain.is_empty() && plain == lean);
}

/// The folder has tokens that end a text, and keys that are not part of the network. A finished run
/// also finds no remains of a killed save.
#[test]
fn a_folder_given_is_the_folder_saved() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &common::rows(20));
    common::copy_folder(&common::fixture("llama-untied"), &folder.join("model"));
    let generation = "{\"eos_token_id\": [2, 13, 20], \"temperature\": 0.6}";
    fs::write(folder.join("model/generation_config.json"), generation).unwrap();
    let mut config = json(&folder.join("model/config.json"));
    config["eos_token_id"] = json!([2, 13]);
    config["unknown"] = json!("kept");
    fs::write(folder.join("model/config.json"), config.to_string()).unwrap();
    let start = ["--data", "pairs.jsonl", "--model", "model", "--steps", "1"];
    let rest = ["--batch", "2", "--max-length", "48", "--out", "run"];
    succeed("dpo", folder, &[start, rest].concat());
    for saved in ["start", "dpo"] {
        let saved = folder.join("run/models").join(saved);
        let text = fs::read_to_string(saved.join("generation_config.json")).unwrap();
        assert_eq!(text, generation, "{}", saved.display());
        let config = json(&saved.join("config.json"));
        assert_eq!(config["eos_token_id"], json!([2, 13]));
        assert_eq!(config["unknown"], "kept");
        fs::write(saved.join(".unfinished-4242-0-model.safetensors"), "half").unwrap();
    }
    succeed("dpo", folder, &["--resume", "--out", "run"]);
    let left = files(&folder.join("run"));
    let left = left
        .iter()
        .filter(|(path, _)| path.display().to_string().contains(".unfinished-"));
    assert_eq!(left.count(), 0);
}

#[test]
#[cfg(target_os = "linux")]
fn killed_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny(folder);
    // The last method trains a second policy too.
    let methods = [
        "--methods",
        "base,best_sera,anchored",
        "--set",
        "align.anchors.agreement=0.5",
    ];
    let options = [&["--config", config.as_str()], &methods[..]].concat();
    succeed(
        "sera",
        folder,
        &[&options[..], &["--out", "straight"]].concat(),
    );
    let lines = |run: &Path| {
        fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
    };
    let total = lines(&folder.join("straight"));
    let kills = std::env::var("COLLIMATE_KILLS").map_or(3, |n| n.parse().unwrap());
    let run = folder.join("killed");
    // One run, killed again and again.
    for kill in 1..=kills {
        let start: &[&str] = match run.join("config.json").exists() {
            true => &["--resume"],
            false => &options,
        };
        let mut child = command("sera")
            .args(start)
            .args(["--out", "killed"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while lines(&run) < total * kill / (kills + 1) && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "no progress");
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
    succeed("sera", folder, &["--resume", "--out", "killed"]);
    assert!(
        models(&run) == models(&folder.join("straight")),
        "other weights"
    );
    let win_rate = |name: &str| json(&folder.join(name).join("summary.json"))["win_rate"].clone();
    assert_eq!(win_rate("killed"), win_rate("straight"));
}

#[test]
fn bad_options_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = common::fixture("llama-untied").display().to_string();
    let encoder = common::fixture("bert-mean").display().to_string();
    write_rows(&folder.join("pairs.jsonl"), &common::rows(40));
    let refused = |arguments: &[&str], says: &[&str]| {
        for example in ["dpo", "sera"] {
            let output = run(example, folder, arguments);
            let error = text(&output.stderr);
            assert!(!output.status.success(), "{example} {arguments:?}");
            assert_eq!(error.trim_end().lines().count(), 1, "one line: {error}");
            for part in says {
                assert!(error.contains(part), "{example} {arguments:?}: {error}");
            }
        }
    };
    refused(&["--beta", "0"], &["dpo: beta is 0", "above 0"]);
    let unused = run("dpo", folder, &["--set", "align.responses.temperature=0.3"]);
    let error = text(&unused.stderr);
    assert!(error.contains("responses.temperature is 0.3"), "{error}");
    refused(&["--beta", "-1"], &["beta is -1"]);
    refused(&["--loss", "ppo"], &["there is no loss \"ppo\"", "simpo"]);
    refused(&["--label-noise", "1.5"], &["label_noise is 1.5"]);
    refused(&["--lr", "0"], &["learning_rate is 0"]);
    refused(&["--batch", "0"], &["batch_size is 0"]);
    refused(
        &["--max-length", "9999"],
        &["max_length is 9999", "at most"],
    );
    refused(&["--resume"], &["--resume", "holds no run"]);
    refused(&["--judge", &model], &["--data"]);
    refused(
        &["--hh-turns", "full"],
        &["hh_turns works only with data files"],
    );
    for (config, says) in [
        (
            json!({"align": {"loss": {"rdpo": {"label_smoothing": 0.5}}}}),
            "rdpo: label_smoothing is 0.5",
        ),
        (json!({"align": {"irm": {"responses": 1}}}), "at least 2"),
        (
            json!({"align": {"irm": {"gama": 1}}}),
            "unknown field `gama`, expected",
        ),
        (json!([1]), "holds no options"),
    ] {
        fs::write(folder.join("bad.json"), config.to_string()).unwrap();
        let output = run("sera", folder, &["--config", "bad.json"]);
        let error = text(&output.stderr);
        assert!(
            !output.status.success() && error.contains(says),
            "{config}: {error}"
        );
    }
    let data = ["--data", "pairs.jsonl"];
    refused(
        &[&data[..], &["--model", "nowhere"]].concat(),
        &["nowhere: no such folder"],
    );
    refused(
        &[&data[..], &["--model", &encoder]].concat(),
        &["holds no language model that writes"],
    );
    refused(
        &["--data", "none.jsonl", "--model", &model],
        &["none.jsonl"],
    );
    let twice = [
        "--data",
        "pairs.jsonl",
        "--data",
        "pairs.jsonl",
        "--model",
        &model,
    ];
    refused(&twice, &["given twice"]);
    // Nothing is left behind.
    assert!(!folder.join("runs").exists());
    assert!(root().exists());
}

#[test]
fn a_judge_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &common::rows(60));
    let model = common::fixture("llama-untied").display().to_string();
    let data = [
        "--data",
        "pairs.jsonl",
        "--model",
        &model,
        "--max-length",
        "48",
    ];
    succeed(
        "ser",
        folder,
        &[
            &data[..],
            &[
                "--loops",
                "0",
                "--no-baseline",
                "--simulate",
                "--stop-after",
                "rm",
                "--out",
                "rm",
            ],
        ]
        .concat(),
    );
    let judge = "rm/model";
    let config = json!({"align": {"responses": {"max_new_tokens": 8}}, "prompts": 5});
    fs::write(folder.join("short.json"), config.to_string()).unwrap();
    let arguments = [
        "--data",
        "pairs.jsonl",
        "--model",
        &model,
        "--judge",
        judge,
        "--config",
        "short.json",
        "--max-length",
        "48",
        "--loss",
        "ipo",
        "--steps",
        "2",
        "--batch",
        "4",
        "--accumulate",
        "2",
        "--out",
        "run",
    ];
    succeed("dpo", folder, &arguments);
    let summary = json(&folder.join("run/summary.json"));
    share(&summary["win_rate"]["ipo"]);
    assert_eq!(policy(&summary, "ipo")["steps"], 2);
    assert_eq!(summary["judge"], "the reward model of --judge");
    let config = json(&folder.join("run/config.json"));
    assert_eq!(config["align"]["train"]["batch_size"], 8);
}
