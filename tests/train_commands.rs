//! The commands `sft`, `reward`, `kto` and `dpo` on files, their dry runs, and `dpo` beside `sera`.

mod common;

use std::fs;
use std::path::Path;

use common::{files, fixture, json, rows, run, succeed, text, write_rows};
use serde_json::{Value, json};

/// Makes rows with a good and a bad answer each, labelled one by one.
fn labelled(n: usize) -> Vec<String> {
    let row = |prompt: String, completion: String, label: bool| {
        json!({"prompt": prompt, "completion": completion, "label": label}).to_string()
    };
    (0..n)
        .flat_map(|i| {
            let prompt = format!("question {i} ?");
            [
                row(prompt.clone(), format!("yes , {i} ."), true),
                row(prompt, format!("no , {i} ."), false),
            ]
        })
        .collect()
}

fn model() -> String {
    fixture("llama-untied").display().to_string()
}

/// Reads the number before a word of a dry run's line.
fn planned(folder: &Path, command: &str, arguments: &[&str], line: &str, word: &str) -> usize {
    let output = succeed(command, folder, &[arguments, &["--dry-run"]].concat());
    let said = text(&output.stdout);
    let found = said
        .lines()
        .find(|l| l.starts_with(line))
        .unwrap_or_else(|| panic!("{said}"));
    let words: Vec<&str> = found.split_whitespace().collect();
    let place = words
        .iter()
        .position(|w| w.trim_end_matches(',') == word)
        .unwrap();
    for part in ["tokens", "model", "memory", "disk", "time"] {
        assert!(said.lines().any(|l| l.starts_with(part)), "{part}: {said}");
    }
    words[place - 1]
        .parse()
        .unwrap_or_else(|_| panic!("{found}"))
}

#[test]
fn sft_makes_held_out_answers_likelier() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &rows(60));
    let model = model();
    let arguments = [
        "--data",
        "pairs.jsonl",
        "--model",
        &model,
        "--max-length",
        "48",
        "--lr",
        "1e-3",
        "--epochs",
        "4",
        "--batch",
        "8",
    ];
    let steps = planned(folder, "sft", &arguments, "sft", "steps");
    assert!(!folder.join("runs").exists(), "a dry run leaves nothing");
    let output = succeed("sft", folder, &[&arguments[..], &["--out", "run"]].concat());
    assert!(text(&output.stdout).contains("model: run/model"));
    let summary = json(&folder.join("run/summary.json"));
    let perplexity = |name: &str| summary["sft"][name].as_f64().unwrap();
    assert!(
        perplexity("perplexity_after") < 0.8 * perplexity("perplexity_before"),
        "{summary}"
    );
    let made = summary["sft"]["steps"].as_u64().unwrap() as f64;
    assert!(
        (made - steps as f64).abs() <= 0.1 * made + 1.0,
        "{made} of {steps}"
    );
    let report = fs::read_to_string(folder.join("run/report.md")).unwrap();
    assert!(report.contains("## Held-out perplexity") && report.contains("plots/loss.svg"));
    // The folder of the run is not a model; the message names the model's path.
    let output = run("sft", folder, &["--data", "pairs.jsonl", "--model", "run"]);
    assert!(
        text(&output.stderr).contains("name a model in it: run/model"),
        "{output:?}"
    );
    let again = succeed("sft", folder, &["--resume", "--out", "run"]);
    assert!(text(&again.stdout).starts_with("already finished"));
}

#[test]
fn reward_orders_the_test_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &rows(80));
    let model = fixture("llama-reward").display().to_string();
    let encoder = fixture("bert-mean").display().to_string();
    for (name, model, lora) in [
        ("decoder", &model, false),
        ("encoder", &encoder, false),
        ("lora", &model, true),
    ] {
        let mut arguments = vec![
            "--data",
            "pairs.jsonl",
            "--model",
            model,
            "--max-length",
            "32",
            "--lr",
            "1e-3",
            "--epochs",
            "8",
            "--batch",
            "8",
            "--out",
            name,
        ];
        if lora {
            arguments.push("--lora");
        }
        succeed("reward", folder, &arguments);
        let summary = json(&folder.join(name).join("summary.json"));
        let accuracy = summary["test"]["accuracy"].as_f64().unwrap();
        assert!(accuracy > 0.9 || lora, "{name}: {summary}");
        assert!(summary["interval"]["low"].as_f64().unwrap() <= accuracy);
        // The saved model scores as the run did.
        let saved = folder.join(name).join("model").display().to_string();
        let score = [
            "--model",
            &saved,
            "--data",
            "pairs.jsonl",
            "--out",
            "scores.jsonl",
        ];
        succeed("score", folder, &score);
        let scores = fs::read_to_string(folder.join("scores.jsonl")).unwrap();
        let right = scores.lines().filter(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            row["chosen_score"].as_f64() > row["rejected_score"].as_f64()
        });
        assert!(right.count() >= if lora { 0 } else { 72 }, "{name}");
    }
    let pooled = [
        "--data",
        "pairs.jsonl",
        "--model",
        &model,
        "--pooling",
        "cls",
        "--out",
        "x",
    ];
    let output = run("reward", folder, &pooled);
    assert!(
        text(&output.stderr).contains("holds a decoder"),
        "{output:?}"
    );
}

/// The commands ask for one label of a classifier with three, train its score, and save it alone.
#[test]
fn a_label_of_a_classifier_is_the_reward() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &rows(40));
    common::copy_folder(&fixture("roberta-reward"), &folder.join("labels"));
    common::copy_folder(&fixture("xlm-roberta-labels"), &folder.join("labels"));
    let data = ["--data", "pairs.jsonl", "--model", "labels"];
    let refused = |command: &str, more: &[&str], says: &[&str]| {
        let output = run(command, folder, &[&data[..], more].concat());
        let error = text(&output.stderr);
        assert!(!output.status.success(), "{command} {more:?}");
        for part in says {
            assert!(
                error.contains(part),
                "{command}: {part:?} is not in {error}"
            );
        }
    };
    let out = ["--out", "run", "--steps", "2", "--max-length", "30"];
    // 32 positions, the first two of which are never used.
    let dry = [&data[..], &["--label", "help", "--dry-run", "--out", "dry"]].concat();
    let plan = text(&succeed("reward", folder, &dry).stdout);
    assert!(plan.contains("model"), "{plan}");
    let names = ["num_labels = 3", "\"help\"", "--label"];
    refused("score", &[], &names);
    refused("reward", &out, &names);
    let wrong = ["no label \"good\"", "\"harm\""];
    refused("score", &["--label", "good"], &wrong);
    let pooled = [&out[..], &["--label", "help", "--pooling", "mean"]].concat();
    refused("reward", &pooled, &["pooling is \"mean\"", "\"cls\""]);
    let scores = |arguments: &[&str]| {
        let output = succeed(
            "score",
            folder,
            &[&["--data", "pairs.jsonl"], arguments].concat(),
        );
        text(&output.stdout)
    };
    let help = scores(&["--model", "labels", "--label", "help"]);
    assert_eq!(help, scores(&["--model", "labels", "--label", "2"]));
    assert_ne!(help, scores(&["--model", "labels", "--label", "harm"]));
    succeed(
        "reward",
        folder,
        &[&data[..], &out, &["--label", "help"]].concat(),
    );
    let saved = json(&folder.join("run/model/config.json"));
    assert_eq!(
        saved["architectures"],
        json!(["XLMRobertaForSequenceClassification"])
    );
    assert_eq!(saved["id2label"], json!({"0": "help"}));
    // The saved folder has one label, so no label need be named.
    assert_ne!(help, scores(&["--model", "run/model"]));
    let eval = ["pairs", "--data", "pairs.jsonl", "--model", "labels"];
    succeed("eval", folder, &[&eval[..], &["--label", "help"]].concat());
}

#[test]
fn kto_learns_from_labels_and_from_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("labelled.jsonl"), &labelled(40));
    write_rows(&folder.join("pairs.jsonl"), &rows(40));
    let model = model();
    let weights =
        |name: &str| fs::read(folder.join(name).join("models/kto/model.safetensors")).unwrap();
    for (name, data) in [("of-labels", "labelled.jsonl"), ("of-pairs", "pairs.jsonl")] {
        let arguments = [
            "--data",
            data,
            "--model",
            &model,
            "--max-length",
            "48",
            "--lr",
            "1e-3",
            "--batch",
            "8",
        ];
        let planned = planned(folder, "kto", &arguments, "training", "steps");
        succeed("kto", folder, &[&arguments[..], &["--out", name]].concat());
        let summary = json(&folder.join(name).join("summary.json"));
        let steps = summary["policies"][0]["steps"].as_u64().unwrap();
        assert!(steps.abs_diff(planned as u64) <= 1, "{steps} of {planned}");
    }
    // Both files hold the same rows in the same order.
    assert!(weights("of-labels") == weights("of-pairs"));
    let metrics = fs::read_to_string(folder.join("of-labels/metrics.jsonl")).unwrap();
    let rewards: Vec<(f64, f64)> = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|row| {
            Some((
                row["rewards/chosen"].as_f64()?,
                row["rewards/rejected"].as_f64()?,
            ))
        })
        .collect();
    let (good, bad) = rewards[rewards.len() - 1];
    assert!(good > bad, "{rewards:?}");

    let good: Vec<String> = labelled(9).into_iter().step_by(2).collect();
    write_rows(&folder.join("good.jsonl"), &good);
    let only = ["--data", "good.jsonl", "--model", &model, "--out", "x"];
    let output = run("kto", folder, &only);
    assert!(
        text(&output.stderr).contains("no answer is labelled bad"),
        "{output:?}"
    );
    // Fine-tuning must not imitate bad answers.
    let output = run(
        "sft",
        folder,
        &["--data", "labelled.jsonl", "--model", &model, "--out", "x"],
    );
    assert!(text(&output.stderr).contains("KTO"), "{output:?}");
}

/// One training over all pairs gives the same result with either command.
#[test]
fn dpo_is_the_base_method_of_sera() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &rows(60));
    let model = model();
    for loss in ["dpo", "simpo"] {
        let arguments = [
            "--data",
            "pairs.jsonl",
            "--model",
            &model,
            "--max-length",
            "48",
            "--lr",
            "1e-3",
            "--loss",
            loss,
            "--lora",
        ];
        let out = [format!("dpo-{loss}"), format!("sera-{loss}")];
        succeed(
            "dpo",
            folder,
            &[&arguments[..], &["--out", &out[0]]].concat(),
        );
        let base = [
            "--methods",
            "base",
            "--set",
            "align.iterations=1",
            "--out",
            &out[1],
        ];
        succeed("sera", folder, &[&arguments[..], &base].concat());
        let models = |name: &str| {
            let models = folder.join(name).join("models");
            // The cards differ: they name the command.
            let all = files(&models).into_iter();
            let all = all.filter(|(path, _)| !path.ends_with("README.md"));
            let short = |(path, bytes): (std::path::PathBuf, Vec<u8>)| {
                (path.strip_prefix(&models).unwrap().to_owned(), bytes)
            };
            all.map(short).collect::<Vec<_>>()
        };
        assert!(models(&out[0]) == models(&out[1]), "{loss}");
        let accuracy =
            |name: &str| json(&folder.join(name).join("summary.json"))["accuracy"].clone();
        assert_eq!(accuracy(&out[0]), accuracy(&out[1]));
        card(folder, &model, &out[0], loss);
    }
}

/// Checks the card of the model that `dpo` has trained.
fn card(folder: &Path, model: &str, out: &str, loss: &str) {
    let card = fs::read_to_string(folder.join(out).join("models").join(loss).join("README.md"));
    let card = card.unwrap();
    let hash = collimate::run::hash_file(&folder.join("pairs.jsonl")).unwrap();
    let data = format!("| `pairs.jsonl` | `{hash}` |");
    let formula = match loss {
        "dpo" => "−(1−ε) log σ(βΔ) − ε log σ(−βΔ)",
        _ => "−log σ(β (log π(w)/|w| − log π(l)/|l|) − γ)",
    };
    for says in [
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- collimate\n",
        "by `collimate dpo`",
        " from `llama-untied`.",
        &data,
        formula,
        "\"learning_rate\": 0.001",
        "| accuracy |",
    ] {
        assert!(card.contains(says), "{says:?} is not in: {card}");
    }
    // A card is made to be sent round: it names no folder of the machine.
    let place = Path::new(model).parent().unwrap().display().to_string();
    assert!(!card.contains(&place), "{card}");
}

#[test]
fn a_dry_run_refuses_what_the_run_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &rows(20));
    write_rows(&folder.join("labelled.jsonl"), &labelled(20));
    let model = model();
    let encoder = fixture("bert-mean").display().to_string();
    for (command, data, model, more, says) in [
        (
            "dpo",
            "pairs.jsonl",
            &encoder,
            "48",
            "holds no language model that writes",
        ),
        ("dpo", "labelled.jsonl", &model, "48", "`label`"),
        (
            "dpo",
            "pairs.jsonl",
            &model,
            "9999",
            "the model takes at most",
        ),
        ("sft", "none.jsonl", &model, "48", "none.jsonl"),
    ] {
        let arguments = [
            "--data",
            data,
            "--model",
            model,
            "--max-length",
            more,
            "--out",
            "x",
            "--dry-run",
        ];
        let output = run(command, folder, &arguments);
        let said = text(&output.stderr);
        assert!(
            !output.status.success() && said.contains(says),
            "{arguments:?}: {said}"
        );
        assert!(!folder.join("x").exists());
    }
    let world = run("dpo", folder, &["--dry-run"]);
    assert!(text(&world.stderr).contains("give --data too"));
}

#[test]
fn a_file_that_is_read_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &rows(4));
    fs::write(folder.join("prompts.txt"), "question ?\n").unwrap();
    let model = model();
    let reward = fixture("llama-reward").display().to_string();
    for (command, arguments) in [
        (
            "score",
            vec![
                "--model",
                &reward,
                "--data",
                "pairs.jsonl",
                "--out",
                "./pairs.jsonl",
            ],
        ),
        (
            "generate",
            vec![
                "--model",
                &model,
                "--prompts",
                "prompts.txt",
                "--out",
                "prompts.txt",
            ],
        ),
    ] {
        let before = files(folder);
        let output = run(command, folder, &arguments);
        assert!(
            text(&output.stderr).contains("is also an input file"),
            "{output:?}"
        );
        assert!(files(folder) == before);
    }
}
