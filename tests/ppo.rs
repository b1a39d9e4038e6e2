//! Runs the command `ppo` from start to end: on a tiny world, on folders, killed, and with bad input.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use collimate::core::{Key, Purpose};
use common::{
    command, copy_folder, files, fixture, json, run, succeed, text, tiny_ppo, without_seconds,
};
use serde_json::json;

/// Writes the options of a synthetic world, a decoder and a training that finish in seconds.
fn tiny(folder: &Path) -> String {
    let config = json!({
        "world": {"pairs": 300, "validation_pairs": 40, "test_pairs": 40},
        "llama": {
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 64,
        },
        "pretrain_texts": 256,
        "sft": {"learning_rate": 3e-3, "epochs": 2.0, "save_every": 4},
        "test_prompts": 30,
        "policy": {"max_length": 48, "watched": 2, "ppo": tiny_ppo()},
    });
    let path = folder.join("tiny.json");
    fs::write(&path, config.to_string()).unwrap();
    path.display().to_string()
}

#[test]
fn a_run_says_everything() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny(folder);
    for (out, more, estimator) in [
        ("critic", &[][..], "critic"),
        ("rloo", &["--estimator", "rloo"][..], "rloo"),
        ("grpo", &["--estimator", "grpo", "--lora"][..], "grpo"),
    ] {
        let arguments = [&["--config", &config, "--out", out], more].concat();
        let output = succeed("ppo", folder, &arguments);
        assert!(text(&output.stdout).starts_with("gold"));
        let run = folder.join(out);
        let summary = json(&run.join("summary.json"));
        assert_eq!(summary["estimator"], estimator);
        let won = summary["win_rate"]["gold"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&won));
        for name in ["kl", "tax", "gold_reward"] {
            assert!(summary[name]["gold"].is_f64(), "{name}");
        }
        let policy = &summary["policies"][0];
        assert_eq!(policy["updates"], 18);
        let counts = policy["answers"]["counts"].as_array().unwrap();
        assert_eq!(counts.iter().map(|c| c.as_u64().unwrap()).sum::<u64>(), 30);
        // Answers to two prompts each at the start, after two rollouts, and at the end.
        assert_eq!(policy["watched"].as_array().unwrap().len(), 6);
        let report = fs::read_to_string(run.join("report.md")).unwrap();
        for part in [
            "## Policies",
            "## Training of the policies",
            "## Final answers: gold",
        ] {
            assert!(report.contains(part), "{part}");
        }
        for plot in ["win_rate", "reward", "kl", "length"] {
            let path = run.join(format!("plots/policy_{plot}.png"));
            assert!(path.exists(), "{plot}");
        }
        let explained = run.join("plots/policy_explained_variance.svg").exists();
        assert_eq!(explained, estimator == "critic");
        let method = match estimator {
            "critic" => "ppo",
            other => other,
        };
        for name in ["start", method] {
            assert!(
                run.join(format!("models/{name}/model.safetensors"))
                    .exists()
            );
        }
        let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        assert_eq!(metrics.matches(STAGE).count(), 3);
    }
    let before = files(&folder.join("critic"));
    let again = succeed("ppo", folder, &["--resume", "--out", "critic"]);
    assert!(text(&again.stdout).starts_with("already finished"));
    assert!(files(&folder.join("critic")) == before);
}

const STAGE: &str = "\"stage\":\"ppo-gold\"";

/// Returns the number of kills; set `COLLIMATE_KILLS=20` for more.
fn kills() -> u64 {
    std::env::var("COLLIMATE_KILLS").map_or(2, |n| n.parse().unwrap())
}

#[test]
#[cfg(target_os = "linux")]
fn killed_in_a_rollout_or_an_update_it_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny(folder);
    // More than one chunk of responses, so that a run can continue from half a rollout.
    let sizes = "--rollout-size 96 --mini-batch 24 --rollouts 6";
    let more: Vec<&str> = ["--config", &config]
        .into_iter()
        .chain(sizes.split(' '))
        .collect();
    succeed("ppo", folder, &[&more[..], &["--out", "straight"]].concat());
    let straight = folder.join("straight");
    let metrics = fs::read_to_string(straight.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches(STAGE).count(), 6);
    // Up to here nothing is killed; the kill times are drawn from the time that the rest takes.
    let prepared = folder.join("prepared");
    let rest = until_policy(folder, &more, &prepared);
    let end = |run: &Path| {
        let read = |file: &str| fs::read(run.join(file)).unwrap();
        (
            without_seconds(json(&run.join("summary.json"))),
            read("models/ppo/model.safetensors"),
            read("metrics.jsonl"),
        )
    };
    let expected = end(&straight);
    let mut killed = 0;
    for point in 0..kills() {
        let name = format!("killed-{point}");
        let run_folder = folder.join(&name);
        copy_tree(&prepared, &run_folder);
        // Twice: a resumed run can be killed as well.
        for attempt in 0..2 {
            let mut child = command("ppo")
                .args(["--resume", "--out", &name])
                .current_dir(folder)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let key = Key::new(point, "kill").with(attempt);
            let draw = rand::Rng::next_u64(&mut key.rng(Purpose::Data)) % 1000;
            std::thread::sleep(rest.mul_f64(draw as f64 / 1000.0));
            child.kill().unwrap();
            killed += usize::from(!child.wait().unwrap().success());
        }
        succeed("ppo", folder, &["--resume", "--out", &name]);
        assert!(end(&run_folder) == expected, "point {point}");
    }
    let least = kills() as usize;
    assert!(killed >= least, "only {killed} were killed while they ran");
}

/// Runs until the first rollout is saved, kills and copies; returns the time that the rest takes.
fn until_policy(folder: &Path, more: &[&str], copy: &Path) -> Duration {
    let run_folder = folder.join("first");
    let mut child = command("ppo")
        .args(more)
        .args(["--out", "first"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let saved = run_folder.join("checkpoints/ppo-gold");
    let deadline = Instant::now() + Duration::from_secs(120);
    let has_checkpoint = || {
        let entries = fs::read_dir(&saved).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name());
        names
            .into_iter()
            .any(|name| name.to_string_lossy().starts_with("step-"))
    };
    while !has_checkpoint() {
        assert!(Instant::now() < deadline, "no checkpoint");
        assert!(child.try_wait().unwrap().is_none(), "ended too soon");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    copy_tree(&run_folder, copy);
    let started = Instant::now();
    succeed("ppo", folder, &["--resume", "--out", "first"]);
    started.elapsed()
}

fn copy_tree(from: &Path, to: &Path) {
    copy_folder(from, to);
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            copy_tree(&path, &to.join(path.file_name().unwrap()));
        }
    }
}

/// Writes twenty-four prompts, one per line.
fn prompts(folder: &Path) -> String {
    let path: PathBuf = folder.join("prompts.txt");
    let lines: Vec<String> = (0..24).map(|i| format!("question {i} ?")).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    path.display().to_string()
}

/// Options of a training with two rollouts.
const SMALL: &str = "--rollouts 2 --rollout-size 8 --mini-batch 4 --response-tokens 8 \
                     --max-length 40 --ppo-epochs 1 --seed 3";

#[test]
fn folders_rules_and_reward_models() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = fixture("llama-untied").display().to_string();
    let prompts = prompts(folder);
    let decoder = fixture("llama-reward").display().to_string();
    let encoder = fixture("bert-mean").display().to_string();
    let with = |out: &str, more: &str| -> Vec<String> {
        let all = format!("{SMALL} {more} --out {out}");
        let all = all.split_whitespace().map(str::to_owned);
        ["--model".to_owned(), model.clone()]
            .into_iter()
            .chain(all)
            .collect()
    };
    for (out, more) in [
        (
            "openings",
            "--openings 20 --opening-tokens 3 --test-prompts 4 --reward short".to_owned(),
        ),
        ("rule", format!("--prompts {prompts} --reward dialogue")),
        (
            "reward_model",
            format!("--prompts {prompts} --reward-model {decoder} --judge short"),
        ),
    ] {
        let arguments = with(out, &more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = succeed("ppo", folder, &arguments);
        let summary = json(&folder.join(out).join("summary.json"));
        let name = match out {
            "reward_model" => out,
            _ => "rule",
        };
        assert!(summary["reward"][name][1].is_f64(), "{summary}");
        match out {
            "reward_model" => assert_eq!(summary["judge"], "the rule `short`"),
            _ => assert!(summary["judge"].is_null()),
        }
        assert!(summary["win_rate"][name].is_f64());
        assert!(text(&output.stderr).contains("The start model and reference model is "));
    }
    // A backbone without a score head is not a reward model.
    let arguments = with(
        "x",
        &format!("--prompts {prompts} --reward-model {encoder}"),
    );
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run("ppo", folder, &arguments);
    let error = text(&output.stderr);
    assert!(!output.status.success());
    assert!(error.contains("without a reward head"), "{error}");
}

#[test]
fn scores_become_rewards_as_the_report_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = fixture("llama-untied").display().to_string();
    let prompts = prompts(folder);
    let decoder = fixture("llama-reward").display().to_string();
    let train = |out: &str, more: &str| {
        let all = format!("--model {model} --prompts {prompts} {SMALL} {more} --out {out}");
        let words: Vec<&str> = all.split_whitespace().collect();
        let output = succeed("ppo", folder, &words);
        let summary = json(&folder.join(out).join("summary.json"));
        let report = fs::read_to_string(folder.join(out).join("report.md")).unwrap();
        (summary["policies"][0].clone(), report, text(&output.stderr))
    };
    // The middle of the reward model's scores is unknown.
    let (policy, report, said) = train("default", &format!("--reward-model {decoder}"));
    assert_eq!(policy["scaling"], "running");
    assert!(
        policy["floor"].is_null() && !said.contains("warning"),
        "{said}"
    );
    assert!(
        report.contains("From scores to rewards: `reward_model`: scores shifted"),
        "{report}"
    );
    let sigmoid = format!("--reward-model {decoder} --reward-scaling sigmoid");
    let (policy, _, said) = train("raw", &sigmoid);
    assert_eq!(policy["scaling"]["sigmoid"]["threshold"], 0.5);
    assert!(
        said.contains("warning: reward_model: the sigmoid scaling has no centre"),
        "{said}"
    );
    // A centre that no score reaches gives the smallest reward for all answers.
    let far = r#"{"policy": {"ppo": {"reward": {"scaling":
        {"sigmoid": {"centre": 1000.0, "threshold": 0.5, "min": -1.0, "max": 1.0}}}}}}"#;
    fs::write(folder.join("far.json"), far).unwrap();
    let (policy, report, said) = train("far", &format!("{sigmoid} --config far.json"));
    assert_eq!(
        (
            policy["floor"].as_f64(),
            &policy["scaling"]["sigmoid"]["centre"]
        ),
        (Some(1.0), &1000.0.into())
    );
    for told in [&report, &said] {
        assert!(told.contains("100.0 % of the training responses"), "{told}");
    }
    let (policy, _, _) = train("clip", "--reward short --reward-scaling symmetric_clip");
    assert_eq!(policy["scaling"]["symmetric_clip"]["limit"], 5.0);
    let (policy, _, _) = train("none", "--reward short --reward-scaling none");
    assert_eq!(policy["scaling"], "none");
}

#[test]
fn what_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = fixture("llama-untied").display().to_string();
    let encoder = fixture("bert-mean").display().to_string();
    let prompts = prompts(folder);
    fs::write(folder.join("few.txt"), "one\ntwo\n").unwrap();
    let refused = |arguments: &str, says: &str| {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let output = run("ppo", folder, &words);
        let error = text(&output.stderr);
        assert!(!output.status.success(), "{arguments}");
        let last = error.trim_end().lines().last().unwrap_or_default();
        let named = last.starts_with("error: ") && last.contains(says);
        assert!(named, "{says}: {error}");
    };
    refused(&format!("--prompts {prompts}"), "--model");
    refused("--reward short", "--model");
    refused("--judge short", "--model");
    refused("--openings 40", "--model");
    fs::write(folder.join("list.json"), "[]").unwrap();
    refused("--config list.json", "holds no options");
    fs::write(folder.join("key.json"), "{\n\"beta\": 1}").unwrap();
    refused("--config key.json", "unknown field `beta`");
    refused("--config key.json", "key.json:2: beta");
    refused("--kl-target 0", "kl.adaptive.target is 0");
    refused("--kl-coef -1", "kl.fixed.coefficient is -1");
    refused("--mini-batch 1000", "mini_batch_size is 1000");
    refused("--temperature 0", "temperature is 0");
    refused("--samples-per-prompt 3", "rollout_size is 128");
    let alone = "--estimator rloo --samples-per-prompt 1";
    refused(alone, "samples_per_prompt is 1");
    refused("--test-prompts 0", "test_prompts is 0");
    refused("--max-length 20 --response-tokens 20", "max_length is 20");
    refused(&format!("--model {encoder}"), "holds no language model");
    refused("--model nowhere", "nowhere");
    let with_prompts = format!("--model {model} --prompts {prompts}");
    let nowhere = format!("{with_prompts} --max-length 40 --reward-model nowhere");
    refused(&nowhere, "nowhere");
    refused("--critic reward_model", "give --reward-model");
    // An encoder with a head and a tokenizer.
    let scored = folder.join("encoder");
    copy_tree(&fixture("bert-reward"), &scored);
    let tokenizer = fixture("bert-mean").join("tokenizer.json");
    fs::copy(tokenizer, scored.join("tokenizer.json")).unwrap();
    let by_encoder = format!(
        "{with_prompts} --max-length 40 --response-tokens 8 --critic reward_model \
         --reward-model encoder"
    );
    refused(&by_encoder, "encoder");
    let unused = "--estimator rloo --critic value_head";
    refused(unused, "critic is value_head");
    refused(&format!("{with_prompts} --max-length 100000"), "at most");
    let short = format!("{with_prompts} --max-length 10 --response-tokens 8 --out a");
    refused(&short, "prompts for the policy");
    let few =
        format!("--model {model} --prompts few.txt --max-length 40 --response-tokens 8 --out b");
    refused(&few, "too few");
}
