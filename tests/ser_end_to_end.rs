//! Runs `ser` from start to end on a tiny world, and its model in `score`.

mod common;

use std::fs;
use std::path::Path;

use collimate::world::{World, WorldConfig};
use common::{files, json, succeed, text, tiny_world, without_seconds, write_rows};
use serde_json::Value;

fn ser(folder: &Path, out: &str, more: &[&str]) {
    let config = tiny_world(folder).display().to_string();
    let arguments = [&["--config", &config, "--out", out], more].concat();
    succeed("ser", folder, &arguments);
}

fn model(folder: &Path, out: &str) -> Vec<u8> {
    fs::read(folder.join(out).join("model/model.safetensors")).unwrap()
}

#[track_caller]
fn share(value: &Value) -> f64 {
    let share = value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"));
    assert!((0.0..=1.0).contains(&share), "{share}");
    share
}

#[test]
fn the_run_folder_says_everything() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ser(folder, "run", &[]);
    let run = folder.join("run");
    let summary = json(&run.join("summary.json"));
    for name in ["loop0", "ser", "full"] {
        share(&summary["accuracy"][name]);
    }
    assert!(summary["seconds"].as_f64().unwrap() > 0.0);
    let loops = summary["loops"].as_array().unwrap();
    assert!(loops.len() >= 2, "{loops:?}");
    assert_eq!(loops[0]["status"], "seed");
    for l in loops {
        share(&l["accuracy"]);
        assert!(["seed", "easy", "hard", "converged"].contains(&l["status"].as_str().unwrap()));
        let (kept, swapped) = (l["kept"].as_u64().unwrap(), l["swapped"].as_u64().unwrap());
        assert!(swapped <= kept);
        match kept {
            0 => assert!(l["label_precision"].is_null()),
            _ => assert!(share(&l["label_precision"]) >= 0.0),
        }
    }
    assert!(loops[1]["kept"].as_u64().unwrap() >= 8, "{loops:?}");

    let ppo = &summary["ppo"];
    for name in ["loop0", "ser", "full", "gold"] {
        share(&ppo["win_rate"][name]);
        assert!(ppo["kl"][name].is_f64() && ppo["tax"][name].is_f64());
        assert!(ppo["gold_reward"][name].is_f64(), "{ppo}");
        let weights = run.join(format!("policy-{name}/model.safetensors"));
        assert!(weights.exists(), "{name}");
    }
    assert!(ppo["gold_reward"]["sft"].is_f64());
    assert_eq!(ppo["judge"], "the gold reward");
    duels(ppo);

    let report = fs::read_to_string(run.join("report.md")).unwrap();
    for part in [
        "## Test accuracy",
        "## Loops",
        "| loop0",
        "| ser",
        "| full",
        "## Policies",
        "| gold",
        "## Answers during training: ser",
    ] {
        assert!(report.contains(part), "{part}");
    }
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(!page.contains("<img"), "the page needs another file");
    assert_eq!(
        page.matches("<svg").count(),
        report.matches(".svg)").count()
    );
    let events = fs::read_dir(run.join("tensorboard/loop0")).unwrap();
    assert_eq!(events.count(), 1);
    let plots = [
        "accuracy",
        "data",
        "gaps",
        "precision",
        "policy_reward",
        "policy_kl",
    ];
    for plot in plots {
        assert!(report.contains(&format!("plots/{plot}.svg")), "{plot}");
        let svg = fs::read_to_string(run.join(format!("plots/{plot}.svg"))).unwrap();
        assert!(svg.contains("<svg"), "{plot}");
        let png = fs::read(run.join(format!("plots/{plot}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG"), "{plot}");
    }
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    for stage in ["sft", "loop0", "loop1", "full"] {
        let line = format!("\"stage\":\"{stage}\"");
        assert!(
            metrics.contains(&line),
            "{stage}: {:?}",
            metrics.lines().next()
        );
    }

    scores_agree(folder, share(&summary["accuracy"]["ser"]));

    let before = files(&run);
    let output = succeed("ser", folder, &["--resume", "--out", "run"]);
    assert!(text(&output.stdout).starts_with("already finished"));
    assert!(
        files(&run) == before,
        "--resume of a finished run changed a byte"
    );
}

/// Checks the comparisons of policies: every policy meets every earlier one on the same prompts.
fn duels(ppo: &Value) {
    let duels = ppo["duels"].as_array().unwrap();
    let met: Vec<(&str, &str)> = duels
        .iter()
        .map(|duel| (duel["a"].as_str().unwrap(), duel["b"].as_str().unwrap()))
        .collect();
    let names = ["loop0", "ser", "full", "gold"];
    let expected: Vec<(&str, &str)> = names
        .iter()
        .enumerate()
        .flat_map(|(index, a)| names[..index].iter().map(move |b| (*a, *b)))
        .collect();
    assert_eq!(met, expected);
    let scores = |name: &str| ppo["gold_reward"][name].as_f64().unwrap();
    for duel in duels {
        let (a, b) = (duel["a"].as_str().unwrap(), duel["b"].as_str().unwrap());
        for kind in ["common", "independent"] {
            let counts: Vec<f64> = duel[kind]["counts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|count| count.as_f64().unwrap())
                .collect();
            let prompts: f64 = counts.iter().sum();
            let rate = (counts[0] + counts[1] / 2.0) / prompts;
            assert!((share(&duel[kind]["win_rate"]["estimate"]) - rate).abs() < 1e-12);
        }
        // Answers of common random numbers are those that the policies are scored by.
        let difference = duel["common"]["score_difference"]["estimate"]
            .as_f64()
            .unwrap();
        assert!(
            (difference - (scores(a) - scores(b))).abs() < 1e-6,
            "{a} {b}"
        );
    }
}

#[test]
fn rewards_are_centred_on_the_labelled_answers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let more = [
        "--reward-scaling",
        "sigmoid",
        "--policy-rewards",
        "loop0,ser",
        "--no-baseline",
    ];
    ser(folder, "run", &more);
    let summary = json(&folder.join("run/summary.json"));
    for policy in summary["ppo"]["policies"].as_array().unwrap() {
        let name = policy["name"].as_str().unwrap();
        let centre = &policy["scaling"]["sigmoid"]["centre"];
        assert!(
            centre.is_f64() && *centre == summary["reward_centres"][name],
            "{policy}"
        );
        share(&policy["floor"]);
    }
    let labels = &summary["human_labels"];
    assert!(labels["fine_tuning"].as_u64().unwrap() > 0, "{labels}");
    let report = fs::read_to_string(folder.join("run/report.md")).unwrap();
    for part in [
        "From scores to rewards: `loop0`: σ(score",
        "These are human labels too",
    ] {
        assert!(report.contains(part), "{part}");
    }
}

#[test]
fn the_policy_in_the_loop() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut tiny = json(&tiny_world(folder));
    // A policy whose answers end.
    tiny["sft"] = serde_json::json!({"learning_rate": 3e-3, "epochs": 12.0, "batch_size": 8});
    fs::write(folder.join("longer.json"), tiny.to_string()).unwrap();
    let more = ["--policy-in-loop", "2", "--policy-rewards", "ser"];
    let files = ["--config", "longer.json", "--out", "run"];
    let arguments = [
        &files[..],
        &more,
        &["--response-tokens", "24", "--min-count", "1"],
    ]
    .concat();
    succeed("ser", folder, &arguments);
    let run = folder.join("run");
    let summary = json(&run.join("summary.json"));
    let rounds = summary["closed_loop"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    let mut trained_on =
        summary["loops"].as_array().unwrap().last().unwrap()["train_pairs"].clone();
    for (round, writer) in rounds.iter().zip(["ser", "ser-round1"]) {
        let count = |name: &str| round[name].as_u64().unwrap();
        assert_eq!(round["policy"], writer);
        assert!(count("pairs") > 0, "{round}");
        assert!(count("kept") <= count("pairs"));
        assert_eq!(
            count("train_pairs"),
            trained_on.as_u64().unwrap() + count("kept"),
            "everything learnt so far and the pairs kept"
        );
        trained_on = round["train_pairs"].clone();
        share(&round["accuracy"]);
        // The gold reward audits the labels of all pairs.
        share(&round["pool_accuracy"]);
        let name = format!("ser-round{}", count("round"));
        share(&summary["ppo"]["win_rate"][&name]);
        for weights in [
            format!("policy-{name}"),
            format!("model-round{}", count("round")),
        ] {
            assert!(
                run.join(&weights).join("model.safetensors").exists(),
                "{weights}"
            );
        }
    }
    let report = fs::read_to_string(run.join("report.md")).unwrap();
    assert!(report.contains("## The policy in the loop"));
    // The same rounds again, from the saved files of the run.
    fs::remove_file(run.join("report.md")).unwrap();
    succeed("ser", folder, &["--resume", "--out", "run"]);
    let again = json(&run.join("summary.json"));
    assert_eq!(without_seconds(again), without_seconds(summary));
}

#[test]
fn rounds_that_come_to_nothing_end_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny_world(folder).display().to_string();
    let rewards = ["--policy-rewards", "ser", "--no-baseline"];
    for (out, more, says) in [
        // One token is not a finished answer.
        ("none", &["--response-tokens", "1"][..], "no pair is left"),
        (
            "kept",
            &["--response-tokens", "24", "--min-count", "10000"],
            "kept none",
        ),
    ] {
        let mut tiny = json(Path::new(&config));
        if out == "kept" {
            tiny["sft"] =
                serde_json::json!({"learning_rate": 3e-3, "epochs": 12.0, "batch_size": 8});
            tiny["ser"]["filter"]["thresholds"]["min_count"] = Value::Null;
            tiny["ser"]["filter"]["thresholds"]
                .as_object_mut()
                .unwrap()
                .remove("min_count");
        }
        let path = folder.join(format!("{out}.json"));
        fs::write(&path, tiny.to_string()).unwrap();
        let path = path.display().to_string();
        let base = ["--config", &path, "--out", out, "--policy-in-loop", "2"];
        let output = succeed("ser", folder, &[&base[..], &rewards, more].concat());
        assert!(
            text(&output.stderr).contains(says),
            "{}",
            text(&output.stderr)
        );
        let report = fs::read_to_string(folder.join(out).join("report.md")).unwrap();
        assert!(report.contains(says), "{out}");
        let summary = json(&folder.join(out).join("summary.json"));
        let rounds = summary["closed_loop"].as_array().unwrap().len();
        assert_eq!(rounds, usize::from(out == "kept"));
        assert!(summary["ppo"]["win_rate"]["ser-round1"].is_null());
    }
}

/// Checks that the saved folder gives the accuracy that the run reported.
fn scores_agree(folder: &Path, reported: f64) {
    let tiny = json(&folder.join("tiny.json"));
    let config: WorldConfig = serde_json::from_value(tiny["world"].clone()).unwrap();
    let rows: Vec<String> = World::new(&config)
        .unwrap()
        .test_pairs()
        .into_iter()
        .map(|row| {
            let pair = row.pair;
            serde_json::json!({
                "prompt": pair.prompt, "chosen": pair.chosen.text, "rejected": pair.rejected.text,
            })
            .to_string()
        })
        .collect();
    write_rows(&folder.join("test.jsonl"), &rows);
    let arguments = [
        "--model",
        "run/model",
        "--data",
        "test.jsonl",
        "--out",
        "scores.jsonl",
    ];
    succeed("score", folder, &arguments);
    let scores = fs::read_to_string(folder.join("scores.jsonl")).unwrap();
    let right: Vec<f64> = scores
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let score = |name: &str| row[name].as_f64().unwrap();
            let (chosen, rejected) = (score("chosen_score"), score("rejected_score"));
            f64::from(chosen > rejected) + 0.5 * f64::from(chosen == rejected)
        })
        .collect();
    assert_eq!(right.len(), rows.len());
    let accuracy = right.iter().sum::<f64>() / right.len() as f64;
    assert!(
        (accuracy - reported).abs() < 1e-9,
        "{accuracy}, reported {reported}"
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ser(folder, "a", &["--no-baseline"]);
    ser(folder, "b", &["--no-baseline"]);
    ser(folder, "c", &["--no-baseline", "--seed", "1"]);
    let first = model(folder, "a");
    assert!(
        first == model(folder, "b"),
        "the same seed gave other bytes"
    );
    assert!(
        first != model(folder, "c"),
        "another seed gave the same bytes"
    );
}

#[test]
fn a_decoder_and_an_encoder_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &common::rows(80));
    for (name, length) in [("llama-untied", "48"), ("bert-mean", "32")] {
        let base = common::fixture(name).display().to_string();
        let arguments = [
            "--data",
            "pairs.jsonl",
            "--simulate",
            "--model",
            &base,
            "--max-length",
            length,
        ];
        succeed(
            "ser",
            folder,
            &[&arguments[..], &["--lora", "--out", name]].concat(),
        );
        assert!(folder.join(name).join("summary.json").exists());
        let saved = format!("{name}/model");
        let arguments = ["--data", "pairs.jsonl", "--model", &saved];
        let output = succeed("score", folder, &arguments);
        assert_eq!(text(&output.stdout).lines().count(), 80);
    }
}

#[test]
fn printed_options_are_a_configuration_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let print = |arguments: &[&str]| {
        let arguments = [arguments, &["--print-config"]].concat();
        text(&succeed("ser", folder, &arguments).stdout)
    };
    let changed = print(&["--seed", "5", "--tau-high", "0.6"]);
    fs::write(folder.join("options.json"), &changed).unwrap();
    assert_eq!(print(&["--config", "options.json"]), changed);
    // Options that a file omits keep their defaults.
    let part = "{\"ser\": {\"seed\": 5, \"filter\": {\"thresholds\": {\"tau_high\": 0.6}}}}";
    fs::write(folder.join("part.json"), part).unwrap();
    assert_eq!(print(&["--config", "part.json"]), changed);
}
