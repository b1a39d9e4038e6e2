//! `self_rewarding` from start to end on a tiny world and on files, killed and resumed.

mod common;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{command, files, json, run, succeed, text, without_seconds, write_rows};
use serde_json::{Value, json};

/// A world and a decoder that are through in seconds and learn to write judgements.
fn tiny(folder: &Path, change: Value) -> String {
    let mut config = json!({
        "world": {"pairs": 600, "validation_pairs": 20, "test_pairs": 80},
        "test_prompts": 24,
        "seed_data": {"judgements": 500, "task_lists": 200, "judge_test": 16},
        "llama": {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 160,
        },
        "pretrain_texts": 512,
        "recipe": {
            "sft": {"learning_rate": 5e-3, "epochs": 4.0, "save_every": 10},
            "train": {"learning_rate": 1e-3, "save_every": 2},
            // So that no rounding decides whether so small a judge is refused.
            "judge": {"min_parse_rate": 0.1},
            "responses": {"max_new_tokens": 20},
            "tasks": {"per_iteration": 40, "sampling": {"temperature": 1.0, "top_p": 1.0}},
        },
    });
    merge(&mut config, change);
    let path = folder.join("tiny.json");
    fs::write(&path, config.to_string()).unwrap();
    path.display().to_string()
}

fn merge(to: &mut Value, from: Value) {
    match (to, from) {
        (Value::Object(to), Value::Object(from)) => {
            for (key, value) in from {
                merge(to.entry(key).or_insert(Value::Null), value);
            }
        }
        (to, from) => *to = from,
    }
}

fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn prompts_of(path: &Path) -> HashSet<String> {
    let rows = rows(path);
    rows.iter()
        .map(|row| row["prompt"].as_str().unwrap().to_owned())
        .collect()
}

fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap_or_else(|| panic!("{value}"))).unwrap()
}

fn share(value: &Value) -> f64 {
    let share = value.as_f64().unwrap_or_else(|| panic!("{value}"));
    assert!((0.0..=1.0).contains(&share), "{share}");
    share
}

#[test]
fn a_run_says_everything() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny(folder, json!({"recipe": {"accumulate": true}}));
    succeed(
        "self_rewarding",
        folder,
        &["--config", &config, "--out", "run"],
    );
    let run = folder.join("run");
    let summary = json(&run.join("summary.json"));
    for pair in ["m1_vs_sft", "m2_vs_m1", "m3_vs_m2", "m3_vs_sft"] {
        share(&summary["win_rate"][pair]);
        let counts = summary["comparisons"][pair]["counts"].as_array().unwrap();
        assert_eq!(counts.iter().map(count).sum::<usize>(), 24, "{pair}");
    }
    for model in ["m1", "m2", "m3"] {
        share(&summary["judge"]["parse_rate"][model]);
        share(&summary["judge"]["agreement"][model]);
        assert!(summary["tax"][model].is_f64());
        assert_eq!(
            summary["judge"]["tests"][model]["judgements"],
            2 * 16 * 3,
            "three of each answer"
        );
    }
    assert_eq!(summary["tax"]["sft"], 0.0);
    assert!(summary["judge"]["parse_rate"]["sft"].is_null());
    let held_out: HashSet<String> = ["answers/m1", "judge_test/m1"]
        .iter()
        .flat_map(|name| rows(&run.join(format!("{name}.jsonl"))))
        .map(|row| row["prompt"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(held_out.len(), 24 + 16);
    let mut posed = HashSet::new();
    let mut judge_pairs = 0;
    for (t, iteration) in summary["iterations"].as_array().unwrap().iter().enumerate() {
        let made = run.join(format!("m{}", t + 1));
        let tasks = rows(&made.join("tasks.jsonl"));
        let kept: Vec<&Value> = tasks.iter().filter(|r| r["refused"].is_null()).collect();
        assert_eq!(tasks.len(), count(&iteration["tasks"]["written"]));
        assert_eq!(kept.len(), count(&iteration["tasks"]["kept"]));
        for row in &kept {
            let prompt = row["prompt"].as_str().unwrap();
            assert!(posed.insert(prompt.to_owned()), "{prompt} twice");
            assert!(!held_out.contains(prompt), "{prompt} is held out");
        }
        let candidates = rows(&made.join("candidates.jsonl"));
        assert_eq!(candidates.len(), kept.len());
        assert_eq!(
            4 * candidates.len(),
            count(&iteration["candidates"]["written"])
        );
        let grades = rows(&made.join("judgements.jsonl"));
        let votes: Vec<Value> = grades
            .iter()
            .flat_map(|row| row["grades"].as_array().unwrap().clone())
            .filter(|grade| !grade.is_null())
            .flat_map(|grade| grade["votes"].as_array().unwrap().clone())
            .collect();
        assert_eq!(count(&iteration["judged"]["judgements"]), votes.len());
        let parsed = votes.iter().filter(|vote| vote["score"].is_f64());
        assert_eq!(count(&iteration["judged"]["parsed"]), parsed.count());
        // Highest against lowest by hand.
        let mut expected = Vec::new();
        for (row, grades) in candidates.iter().zip(&grades) {
            let scores: Vec<(usize, f64)> = grades["grades"]
                .as_array()
                .unwrap()
                .iter()
                .enumerate()
                .filter_map(|(at, grade)| Some((at, grade["score"].as_f64()?)))
                .collect();
            let best = scores
                .iter()
                .rev()
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .copied();
            let worst = scores.iter().min_by(|a, b| a.1.total_cmp(&b.1)).copied();
            let (Some(best), Some(worst)) = (best, worst) else {
                continue;
            };
            let text = |at: usize| row["candidates"][at]["text"].clone();
            if best.1 > worst.1 && text(best.0) != text(worst.0) {
                expected.push((row["prompt"].clone(), text(best.0), text(worst.0)));
            }
        }
        let pairs = rows(&made.join("pairs-judge.jsonl"));
        let found: Vec<_> = pairs
            .iter()
            .map(|p| {
                (
                    p["prompt"].clone(),
                    p["chosen"].clone(),
                    p["rejected"].clone(),
                )
            })
            .collect();
        assert_eq!(found, expected);
        let branches = iteration["branches"].as_array().unwrap();
        let sources: Vec<&str> = branches
            .iter()
            .map(|b| b["source"].as_str().unwrap())
            .collect();
        assert_eq!(sources, ["judge", "implicit_reward", "evaluator"]);
        for branch in branches {
            assert_eq!(branch["steps"], branches[0]["steps"], "equal steps");
            let pairs = count(&branch["pairs"]);
            // Earlier pairs are the judge's.
            assert_eq!(count(&branch["trained_pairs"]), pairs + judge_pairs);
            share(&branch["agreement"]["same_sign"]);
        }
        // Where all made a pair they are compared on the same number.
        let common = branches[0]["agreement_in_common"][1].clone();
        assert!(
            branches
                .iter()
                .all(|b| b["agreement_in_common"][1] == common)
        );
        // The truth agrees with itself.
        assert_eq!(branches[2]["agreement"]["same_sign"], 1.0);
        judge_pairs += pairs.len();
    }
    implicit_rewards_are_log_ratios_to_m1(folder, &run);
    for model in [
        "sft",
        "m1",
        "m2",
        "m3",
        "m2-implicit_reward",
        "m3-evaluator",
    ] {
        assert!(
            run.join(format!("models/{model}/model.safetensors"))
                .exists(),
            "{model}"
        );
    }
    let report = fs::read_to_string(run.join("report.md")).unwrap();
    for part in [
        "## Models",
        "## Judges",
        "## Iterations",
        "## Pairs",
        "## Curves",
        "## Answers",
        "| m3 against m2 ",
        "plots/judges.svg",
        "plots/rewards_m2.svg",
    ] {
        assert!(report.contains(part), "{part}");
    }
    // A finished run changes nothing.
    let before = files(&run);
    succeed("self_rewarding", folder, &["--resume", "--out", "run"]);
    assert!(before == files(&run));
}

/// The second iteration's rewards, from log-probabilities of the saved models.
fn implicit_rewards_are_log_ratios_to_m1(folder: &Path, run: &Path) {
    let candidates = rows(&run.join("m2/candidates.jsonl"));
    let rewards = rows(&run.join("m2/implicit_rewards.jsonl"));
    let (mut asked, mut expected) = (Vec::new(), Vec::new());
    for (row, rewards) in candidates.iter().zip(&rewards).take(8) {
        let answers = row["candidates"].as_array().unwrap();
        for (answer, reward) in answers.iter().zip(rewards.as_array().unwrap()) {
            if let Some(reward) = reward.as_f64() {
                let line = json!({"prompt": row["prompt"], "completion": answer["text"]});
                asked.push(line.to_string());
                expected.push(reward);
            }
        }
    }
    assert!(expected.len() > 4, "{}", expected.len());
    write_rows(&folder.join("asked.jsonl"), &asked);
    let logps = |model: &str| -> Vec<f64> {
        let dir = run.join("models").join(model).display().to_string();
        let arguments = ["--logprobs", "--model", &dir, "--data", "asked.jsonl"];
        let output = succeed("score", folder, &arguments);
        text(&output.stdout)
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["logps"]
                    .as_f64()
                    .unwrap()
            })
            .collect()
    };
    let (m2, m1) = (logps("m2"), logps("m1"));
    for (index, expected) in expected.iter().enumerate() {
        let found = m2[index] - m1[index];
        assert!((found - expected).abs() < 1e-3, "{found} {expected}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn killed_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny(folder, json!({}));
    let straight = folder.join("straight");
    let started = Instant::now();
    succeed(
        "self_rewarding",
        folder,
        &["--config", &config, "--out", "straight"],
    );
    let whole = started.elapsed();
    let kills = std::env::var("COLLIMATE_KILLS").map_or(4, |n| n.parse().unwrap());
    let killed = folder.join("killed");
    // One run, killed again and again on its way: in training, writing, judging.
    for kill in 1..=kills {
        let start: &[&str] = match killed.join("config.json").exists() {
            true => &["--resume"],
            false => &["--config", &config],
        };
        let mut child = command("self_rewarding")
            .args(start)
            .args(["--out", "killed"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let cache = killed.join("judge/cache.jsonl");
        let judged = || fs::metadata(&cache).map_or(0, |file| file.len());
        let before = judged();
        let share = 1.0 / f64::from(kills + 1) + 0.01 * f64::from(kill);
        let end = Instant::now() + whole.mul_f64(share).max(Duration::from_millis(20));
        // Every second kill falls into judging, as soon as something was judged.
        while Instant::now() < end && (kill % 2 == 0 || judged() == before) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
    succeed("self_rewarding", folder, &["--resume", "--out", "killed"]);
    let made = |run: &Path| -> Vec<_> {
        let wanted = |path: &Path| {
            let name = path.strip_prefix(run).unwrap();
            let first = name.components().next().unwrap();
            let first = first.as_os_str().to_str().unwrap().to_owned();
            ["models", "m1", "m2", "answers", "judge_test"].contains(&first.as_str())
        };
        let all = files(run).into_iter().filter(|(path, _)| wanted(path));
        all.map(|(path, bytes)| (path.strip_prefix(run).unwrap().to_owned(), bytes))
            .collect()
    };
    let (a, b) = (made(&killed), made(&straight));
    assert!(a.len() > 20, "{}", a.len());
    for (a, b) in a.iter().zip(&b) {
        assert!(a == b, "{} differs from {}", a.0.display(), b.0.display());
    }
    assert_eq!(a.len(), b.len());
    let summary = |run: &Path| without_seconds(json(&run.join("summary.json")));
    assert_eq!(summary(&killed), summary(&straight));
    // What somebody has changed is not gone on with.
    fs::remove_file(killed.join("report.md")).unwrap();
    let tasks = killed.join("m1/tasks.jsonl");
    for (change, says) in [(Some("{}\n"), "has changed since"), (None, "tasks.jsonl")] {
        match change {
            Some(text) => fs::write(&tasks, text).unwrap(),
            None => fs::remove_file(&tasks).unwrap(),
        }
        let output = run("self_rewarding", folder, &["--resume", "--out", "killed"]);
        let error = text(&output.stderr);
        assert!(!output.status.success());
        assert!(
            error.contains(says) && error.contains("bring it back"),
            "{error}"
        );
    }
}

#[test]
fn a_model_that_cannot_judge_is_refused_with_its_rate() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let untaught = json!({
        "seed_data": {"judgements": 0},
        "recipe": {"judge": {"min_parse_rate": 0.5}},
    });
    let config = tiny(folder, untaught);
    let output = run(
        "self_rewarding",
        folder,
        &["--config", &config, "--out", "run"],
    );
    let error = text(&output.stderr);
    assert!(!output.status.success());
    for part in [
        "m1 judge test: only ",
        " judgements (",
        " %) could be parsed",
        "at least 50.0 % must",
        "take a judge that follows the prompt",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(
        !folder.join("run/m1/tasks.jsonl").exists(),
        "before any work"
    );
    // Without pairs to judge it is tried on a few answers.
    let config = tiny(
        folder,
        json!({
            "seed_data": {"judgements": 0, "judge_test": 0},
            "recipe": {"judge": {"min_parse_rate": 0.5}},
        }),
    );
    let output = run(
        "self_rewarding",
        folder,
        &["--config", &config, "--out", "probed"],
    );
    let error = text(&output.stderr);
    assert!(error.contains("m1 as a judge: only "), "{error}");
    // A prompt that is too long for the model is no judge's fault.
    let long = "judge ".repeat(200) + "{question} {answer}";
    let template = json!({"name": "long", "shows": "answer", "user": long});
    let mut change = json!({
        "seed_data": {"judgements": 0, "judge_test": 0},
        "recipe": {"rubric": {"template": template, "range": {"min": 0.0, "max": 5.0}}},
    });
    change["recipe"]["rubric"]["format"] =
        json!({"last_line": {"label": "Score:", "numbers": "whole"}});
    let config = tiny(folder, change);
    let output = run(
        "self_rewarding",
        folder,
        &["--config", &config, "--out", "long"],
    );
    let error = text(&output.stderr);
    assert!(
        error.contains("tokens of the judge's prompt is 2") && error.contains("below 160"),
        "{error}"
    );
}

#[test]
fn a_model_and_files_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny(folder, json!({"recipe": {"compare": []}}));
    let short = ["--iterations", "1", "--out", "world"];
    succeed(
        "self_rewarding",
        folder,
        &[&["--config", &config], &short[..]].concat(),
    );
    // The world's formats for a run on files, where M1 is what the model already is.
    let options = json!({
        "recipe": {
            "rubric": json(&folder.join("world/config.json"))["recipe"]["rubric"],
            "judge": {"sampling": {"max_new_tokens": 16}, "style": "text", "min_parse_rate": 0.1},
            "tasks": {
                "template": json(&folder.join("world/config.json"))["recipe"]["tasks"]["template"],
                "per_iteration": 20,
                "sampling": {"max_new_tokens": 20, "temperature": 1.0, "top_p": 1.0},
            },
        },
    });
    fs::write(folder.join("own.json"), options.to_string()).unwrap();
    // Twice the same prompts: a duplicate is one task.
    let prompts: Vec<String> = rows(&folder.join("world/answers/sft.jsonl"))
        .iter()
        .chain(&rows(&folder.join("world/answers/sft.jsonl")))
        .map(|row| json!({"prompt": row["prompt"]}).to_string())
        .collect();
    write_rows(&folder.join("prompts.jsonl"), &prompts);
    let arguments = [
        "--config",
        "own.json",
        "--model",
        "world/models/m1",
        "--seed-prompts",
        "prompts.jsonl",
        "--evaluator-rule",
        "short",
        "--max-length",
        "128",
        "--response-tokens",
        "20",
        "--iterations",
        "1",
        "--lr",
        "1e-4",
        "--out",
        "own",
    ];
    succeed("self_rewarding", folder, &arguments);
    let summary = json(&folder.join("own/summary.json"));
    share(&summary["win_rate"]["m2_vs_m1"]);
    assert_eq!(summary["win_rate"]["m1_vs_sft"], 0.5, "the same model");
    assert_eq!(summary["evaluator"], "the rule of --evaluator-rule");
    assert_eq!(
        summary["seed_data"],
        json!({"ift": 0, "eft": 0, "tasks": 0})
    );
    // 24 prompts, each twice: a tenth is held out, and none is on both sides.
    let held_out: HashSet<String> = prompts_of(&folder.join("own/answers/m1.jsonl"));
    let tasks = rows(&folder.join("own/m1/tasks.jsonl"));
    assert!(
        !held_out.is_empty() && held_out.len() < 12,
        "{}",
        held_out.len()
    );
    for row in tasks.iter().filter(|row| row["refused"].is_null()) {
        assert!(!held_out.contains(row["prompt"].as_str().unwrap()));
    }
    let branches = summary["iterations"][0]["branches"].as_array().unwrap();
    assert_eq!(branches[1]["source"], "implicit_reward");
    // A file of a benchmark's questions is read too; these are too few for this model.
    let questions: Vec<String> = (0..3)
        .map(|i| json!({"instruction": format!("ask {i}"), "output": ""}).to_string())
        .collect();
    write_rows(&folder.join("questions.jsonl"), &questions);
    let mut again = arguments.map(str::to_owned);
    for argument in &mut again {
        match argument.as_str() {
            "prompts.jsonl" => *argument = "questions.jsonl".to_owned(),
            "own" => *argument = "asked".to_owned(),
            _ => {}
        }
    }
    let again: Vec<&str> = again.iter().map(String::as_str).collect();
    let output = run("self_rewarding", folder, &again);
    let error = text(&output.stderr);
    assert!(
        error.contains("no prompt is left to evaluate on"),
        "{error}"
    );
    // Nothing was learnt before M1, so its implicit reward tells nothing apart.
    assert_eq!(
        (&branches[1]["pairs"], &branches[1]["steps"]),
        (&json!(0), &json!(0))
    );
    assert!(branches[1]["model"].is_null());
}

#[test]
fn bad_options_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = common::fixture("llama-untied").display().to_string();
    let encoder = common::fixture("bert-mean").display().to_string();
    fs::write(folder.join("empty.jsonl"), "").unwrap();
    let demonstrations: Vec<String> = (0..40)
        .map(|i| json!({"prompt": format!("q {i} ?"), "completion": "yes ."}).to_string())
        .collect();
    write_rows(&folder.join("ift.jsonl"), &demonstrations);
    let refused = |arguments: &[&str], says: &[&str]| {
        let output = run("self_rewarding", folder, arguments);
        let error = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert_eq!(error.trim_end().lines().count(), 1, "one line: {error}");
        for part in says {
            assert!(error.contains(part), "{arguments:?}: {error}");
        }
    };
    refused(&["--iterations", "0"], &["iterations is 0", "at least 1"]);
    refused(&["--candidates", "1"], &["candidates is 1", "at least 2"]);
    refused(&["--tasks", "0"], &["tasks.per_iteration is 0"]);
    refused(&["--samples", "0"], &["samples is 0"]);
    refused(&["--min-parse-rate", "1.5"], &["min_parse_rate is 1.5"]);
    refused(&["--compare", "judge"], &["compare is judge"]);
    refused(
        &["--compare", "luck"],
        &["--compare luck", "implicit_reward"],
    );
    refused(&["--beta", "0"], &["dpo: beta = 0"]);
    refused(&["--test-prompts", "0"], &["test_prompts is 0"]);
    refused(&["--eft", "ift.jsonl"], &["--model"]);
    refused(
        &["--test-prompts", "9999"],
        &["need 10299 pairs", "world.test_pairs is 4000"],
    );
    let own = [
        "--model",
        &model,
        "--ift",
        "ift.jsonl",
        "--max-length",
        "48",
    ];
    refused(&own, &["no chat template", "--judge-style text"]);
    let text = [&own[..], &["--judge-style", "text"]].concat();
    refused(
        &[&text[..], &["--graded", "ift.jsonl"]].concat(),
        &["ift.jsonl:1: missing field `score`"],
    );
    fs::write(
        folder.join("graded.jsonl"),
        r#"{"prompt": "q ?", "completion": "yes", "score": 7}"#,
    )
    .unwrap();
    refused(
        &[&text[..], &["--graded", "graded.jsonl"]].concat(),
        &["graded.jsonl:1:", "score 7"],
    );
    refused(&["--judge-style", "chat"], &["judge_style needs --model"]);
    refused(&["--model", &model], &["nothing to begin with", "--ift"]);
    refused(
        &["--model", &encoder, "--ift", "ift.jsonl"],
        &["holds no language model that writes"],
    );
    refused(
        &["--model", "nowhere", "--ift", "ift.jsonl"],
        &["nowhere: no such folder"],
    );
    refused(
        &[
            "--model",
            &model,
            "--ift",
            "none.jsonl",
            "--judge-style",
            "text",
        ],
        &["none.jsonl"],
    );
    refused(
        &[
            "--model",
            &model,
            "--ift",
            "empty.jsonl",
            "--judge-style",
            "text",
        ],
        &["empty.jsonl"],
    );
    refused(
        &[
            "--model",
            &model,
            "--ift",
            "ift.jsonl",
            "--compare",
            "evaluator",
            "--max-length",
            "48",
        ],
        &["compare is evaluator", "--evaluator-rule"],
    );
    for (config, says) in [
        (
            json!({"recipe": {"tasks": {"template": {"shot": "x"}}}}),
            "{task}",
        ),
        (
            json!({"recipe": {"tasks": {"novelty": {"threshold": 0.0}}}}),
            "threshold is 0",
        ),
        (
            json!({"recipe": {"judge": {"sampling": {"seed": 7}}}}),
            "judge.sampling.seed is 7",
        ),
        (
            json!({"seed_data": {"demonstrations": 1.0}}),
            "seed_data.demonstrations is 1",
        ),
        (
            json!({"seed_data": {"judgements": 100_000}}),
            "the world has 8400 answers",
        ),
        (
            json!({"recipe": {"judge": {"empty_answers": "judge"}}}),
            "judge.empty_answers is judge",
        ),
        (
            json!({"recipe": {"train": {"eval_every": 5}}}),
            "train.eval_every is 5",
        ),
        (json!({"recipe": {"taks": {}}}), "unknown field `taks`"),
        (
            json!({"recipe": {"rubric": {"range": {"min": 5.0, "max": 0.0}}}}),
            "missing field `template`",
        ),
    ] {
        fs::write(folder.join("bad.json"), config.to_string()).unwrap();
        refused(&["--config", "bad.json"], &[says]);
    }
    assert!(!folder.join("runs").exists(), "nothing was left behind");
}
