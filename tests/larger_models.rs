//! Options for larger models: frozen weights of 16 bits, products in bf16, smaller weights for
//! answers, and the memory limit.

mod common;

use std::fs;
use std::path::Path;

use common::{fixture, json, rows, run, succeed, text, write_rows};
use serde_json::Value;

fn model() -> String {
    fixture("llama-untied").display().to_string()
}

/// Returns the training losses of a run, step by step.
fn losses(run: &Path) -> Vec<f64> {
    let lines = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let rows = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter_map(|row| row["loss"].as_f64()).collect()
}

/// Returns the largest difference between two lists of the same length.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    assert!(!a.is_empty());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max)
}

/// A run with frozen matrices of bf16 learns what a run with the same values in f32 learns.
#[test]
fn adapters_beside_bf16_learn_as_beside_f32() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = model();
    for (from, dtype, to) in [(model.as_str(), "bf16", "half"), ("half", "f32", "wide")] {
        succeed(
            "export",
            folder,
            &["--model", from, "--dtype", dtype, "--out", to],
        );
    }
    write_rows(&folder.join("pairs.jsonl"), &rows(40));
    for command in ["dpo", "reward", "sft", "kto"] {
        let found = [("half", "f32"), ("wide", "auto"), ("half", "auto")].map(|(name, saved)| {
            let out = format!("{command}-{name}-{saved}");
            let arguments = [
                "--data",
                "pairs.jsonl",
                "--model",
                name,
                "--lora",
                "--max-length",
                "48",
                "--batch",
                "8",
                "--epochs",
                "3",
                "--lr",
                "1e-3",
                "--saved-activations",
                saved,
                "--out",
                &out,
            ];
            succeed(command, folder, &arguments);
            losses(&folder.join(out))
        });
        assert!(apart(&found[0], &found[1]) < 1e-4, "{command}: {found:?}");
        // Beside 16 bits, activations are rounded: the first loss is the same, later ones are near.
        assert_eq!(found[0][0], found[2][0], "{command}: {found:?}");
        let rounded = apart(&found[0], &found[2]);
        assert!(
            rounded > 0.0 && rounded < 0.02,
            "{command}: {rounded} {found:?}"
        );
        let (first, last) = (found[0][0], found[0][found[0].len() - 1]);
        assert!(last < first, "{command} learned nothing: {found:?}");
    }
}

/// Full trainings of a folder of bf16 change its matrices.
#[test]
fn a_full_training_of_a_bf16_folder_trains_all_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(
        "export",
        folder,
        &["--model", &model(), "--dtype", "bf16", "--out", "half"],
    );
    write_rows(&folder.join("pairs.jsonl"), &rows(40));
    let arguments = [
        "--data",
        "pairs.jsonl",
        "--model",
        "half",
        "--max-length",
        "48",
        "--batch",
        "8",
        "--epochs",
        "1",
        "--lr",
        "1e-3",
        "--out",
        "run",
    ];
    succeed("sft", folder, &arguments);
    let pairs = |name: &str| {
        let path = folder.join(name).join("model.safetensors");
        let bytes = fs::read(path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let place = &header["model.layers.0.mlp.up_proj.weight"]["data_offsets"];
        let at = |end: usize| 8 + length + place[end].as_u64().unwrap() as usize;
        bytes[at(0)..at(1)].to_vec()
    };
    succeed(
        "export",
        folder,
        &["--model", "run/model", "--dtype", "bf16", "--out", "after"],
    );
    assert_ne!(pairs("half"), pairs("after"));
}

#[test]
fn products_in_bf16_learn_nearly_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &rows(40));
    let model = model();
    for command in ["dpo", "reward", "sft"] {
        let found = ["f32", "bf16"].map(|precision| {
            let out = format!("{command}-{precision}");
            let arguments = [
                "--data",
                "pairs.jsonl",
                "--model",
                &model,
                "--max-length",
                "48",
                "--batch",
                "8",
                "--epochs",
                "1",
                "--product-precision",
                precision,
                "--out",
                &out,
            ];
            succeed(command, folder, &arguments);
            losses(&folder.join(out))
        });
        let apart = apart(&found[0], &found[1]);
        assert!(apart > 1e-7 && apart < 0.05, "{command}: {apart}");
    }
    let output = run("dpo", folder, &["--product-precision", "f16"]);
    assert!(
        text(&output.stderr).contains("product-precision"),
        "{output:?}"
    );
}

/// Smaller weights write nearly the same answers; a folder of bf16 loses nothing as bf16.
#[test]
fn answers_with_smaller_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = model();
    succeed(
        "export",
        folder,
        &["--model", &model, "--dtype", "bf16", "--out", "half"],
    );
    let answers = |model: &str, weights: &str, cache: &str| {
        let arguments = [
            "--model",
            model,
            "--prompt",
            "the cat",
            "--prompt",
            "a",
            "--n",
            "20",
            "--max-new-tokens",
            "12",
            "--generation-weights",
            weights,
            "--generation-cache",
            cache,
        ];
        text(&succeed("generate", folder, &arguments).stdout)
    };
    let exact = answers("half", "exact", "exact");
    assert_eq!(exact, answers("half", "bf16", "exact"));
    let exact = answers(&model, "exact", "exact");
    // Forty sampled answers of twelve tokens: a coarser distribution shows in some of them.
    assert_ne!(exact, answers(&model, "int8", "exact"));
    assert_ne!(exact, answers(&model, "exact", "int8"));
    let set = [
        "--model",
        &model,
        "--prompt",
        "a",
        "--set",
        "generation_weights=int8",
        "--generation-cache",
        "int8",
    ];
    let set = text(&succeed("generate", folder, &set).stdout);
    let flags = [
        "--model",
        &model,
        "--prompt",
        "a",
        "--generation-weights",
        "int8",
        "--generation-cache",
        "int8",
    ];
    assert_eq!(set, text(&succeed("generate", folder, &flags).stdout));
    for option in ["--generation-weights", "--generation-cache"] {
        let output = run("generate", folder, &["--model", &model, option, "int4"]);
        assert!(text(&output.stderr).contains("int8"), "{output:?}");
    }
}

/// Micro-batches are cut to the limit, which changes nothing but the last digits.
#[test]
fn a_memory_limit_cuts_micro_batches() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &rows(40));
    let model = model();
    let arguments = [
        "--data",
        "pairs.jsonl",
        "--model",
        &model,
        "--max-length",
        "48",
        "--batch",
        "8",
        "--epochs",
        "1",
    ];
    let tokens = |run: &str| {
        let config = json(&folder.join(run).join("config.json"));
        config["align"]["train"]["micro_batch_tokens"]
            .as_u64()
            .unwrap()
    };
    succeed(
        "dpo",
        folder,
        &[&arguments[..], &["--out", "free"]].concat(),
    );
    assert_eq!(tokens("free"), 8192);
    for (limit, run, again) in [("301MB", "some", false), ("300.1MB", "least", true)] {
        let more = ["--memory-limit", limit, "--out", run];
        let told = text(&succeed("dpo", folder, &[&arguments[..], &more].concat()).stderr);
        assert!(told.contains("memory: about 0.3 GB"), "{told}");
        assert_eq!(told.contains("computed again"), again, "{told}");
        assert!((96..700).contains(&tokens(run)), "{run}: {}", tokens(run));
        let loss = |run: &str| {
            let lines = fs::read_to_string(folder.join(run).join("metrics.jsonl")).unwrap();
            let last = lines
                .lines()
                .rev()
                .find(|line| line.contains("loss"))
                .unwrap()
                .to_owned();
            serde_json::from_str::<Value>(&last).unwrap()["loss"]
                .as_f64()
                .unwrap()
        };
        assert!(
            (loss("free") - loss(run)).abs() < 1e-4,
            "{} {}",
            loss("free"),
            loss(run)
        );
    }
    // A run whose micro-batches were cut can be continued.
    succeed("dpo", folder, &["--resume", "--out", "some"]);
    // What was typed stays.
    let more = ["--memory-limit", "302MB", "--out", "typed", "--set"];
    let more = [&more[..], &["align.train.micro_batch_tokens=5000"]].concat();
    succeed("dpo", folder, &[&arguments[..], &more].concat());
    assert_eq!(tokens("typed"), 5000);
    let output = run("dpo", folder, &["--memory-limit", "1GB"]);
    assert!(text(&output.stderr).contains("your own data"), "{output:?}");
}

/// The plan of `ppo` counts the answers that are written. The cut micro-batches of trainings that a
/// run does not make are no given options.
#[test]
fn runs_that_write_are_planned_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = model();
    let prompts: Vec<String> = (0..40).map(|i| format!("the cat {i} ?")).collect();
    fs::write(folder.join("prompts.txt"), prompts.join("\n")).unwrap();
    let sizes = "--reward short --rollouts 1 --rollout-size 16 --mini-batch 16 --ppo-epochs 1 \
                 --response-tokens 8 --max-length 48";
    let mut arguments = vec!["--model", model.as_str(), "--prompts", "prompts.txt"];
    arguments.extend(sizes.split_whitespace());
    let limit = ["--memory-limit", "300.1MB", "--out", "ppo"];
    let told = text(&succeed("ppo", folder, &[&arguments[..], &limit].concat()).stderr);
    assert!(told.contains("while answers are written"), "{told}");
    let config = json(&folder.join("ppo/config.json"));
    let tokens = config["policy"]["ppo"]["micro_batch_tokens"].as_u64();
    assert!(tokens.is_some_and(|tokens| tokens < 8192), "{tokens:?}");
    succeed("ppo", folder, &["--resume", "--out", "ppo"]);

    write_rows(&folder.join("pairs.jsonl"), &rows(40));
    let arguments = [
        "--model",
        &model,
        "--ift",
        "pairs.jsonl",
        "--set",
        "pretrain.micro_batch_tokens=100",
        "--print-config",
    ];
    succeed("self-rewarding", folder, &arguments);
}
