//! Forms of models on disk: adapters of PEFT, GGUF files, other number types, names on a hub.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{copy_folder, fixture, root, rows, run, succeed, text, write_rows};
use serde_json::Value;

fn model() -> String {
    fixture("llama-untied")
        .canonicalize()
        .unwrap()
        .display()
        .to_string()
}

fn gguf() -> PathBuf {
    root().join("crates/collimate-gguf/tests/fixtures/tiny_llama.gguf")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Returns what a model writes, without sampling.
fn written(folder: &Path, model: &str) -> String {
    let arguments = [
        "--model",
        model,
        "--prompt",
        "question 3 ?",
        "--temperature",
        "0",
        "--max-new-tokens",
        "6",
    ];
    text(&succeed("generate", folder, &arguments).stdout)
}

/// Trains adapters for a few steps, and returns the folder of the trained model.
fn aligned(folder: &Path, out: &str, model: &str, further: &[&str]) -> PathBuf {
    write_rows(&folder.join("pairs.jsonl"), &rows(40));
    let arguments = [
        "--data",
        "pairs.jsonl",
        "--model",
        model,
        "--max-length",
        "48",
        "--steps",
        "6",
        "--batch",
        "4",
        "--lr",
        "3e-2",
        "--lora-rank",
        "2",
        "--out",
        out,
    ];
    succeed("dpo", folder, &[&arguments[..], further].concat());
    folder.join(out).join("models/dpo")
}

#[test]
fn a_run_saves_its_adapter_and_the_adapter_opens_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let base = model();
    let merged = aligned(folder, "merged", &base, &[]);
    let adapter = aligned(folder, "adapter", &base, &["--save-as", "adapter"]);
    assert!(!adapter.join("model.safetensors").exists());
    let config = json(&adapter.join("adapter_config.json"));
    assert_eq!(config["base_model_name_or_path"], base.as_str());
    assert_eq!(config["r"], 2);
    let card = fs::read_to_string(adapter.join("README.md")).unwrap();
    assert!(
        card.contains("library_name: peft") && card.contains("low-rank adapter"),
        "{card}"
    );
    // Same training, so the same model in both forms.
    let adapter = adapter.display().to_string();
    let merged = merged.display().to_string();
    let by_adapter = written(folder, &adapter);
    assert_eq!(by_adapter, written(folder, &merged));
    assert_ne!(
        by_adapter,
        written(folder, &base),
        "the training has an effect"
    );
    succeed("merge", folder, &["--model", &adapter, "--out", "whole"]);
    assert_eq!(by_adapter, written(folder, "whole"));

    // An adapter is a start too. The written adapter is one for the innermost model.
    let second = aligned(folder, "second", &adapter, &["--save-as", "adapter"]);
    let config = json(&second.join("adapter_config.json"));
    assert_eq!(config["base_model_name_or_path"], base.as_str());
    assert_eq!(config["r"], 4);
    written(folder, &second.display().to_string());
}

#[test]
fn adapters_that_no_run_trains_are_refused_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &rows(40));
    let base = model();
    let adapter = root().join("tests/fixtures/peft/patterns");
    let adapter = adapter.canonicalize().unwrap().display().to_string();
    for (arguments, part) in [
        (["--save-as", "adapter"].as_slice(), "--model"),
        (&["--save-as", "adapter", "--model", &base], "--lora"),
        (&["--save-as", "adapter", "--model", &adapter], "--lora"),
        (
            &["--save-as", "adapter", "--model", &base, "--dry-run"],
            "--lora",
        ),
    ] {
        let data: &[&str] = match arguments.len() {
            2 => &[],
            _ => &["--data", "pairs.jsonl"],
        };
        let output = run(
            "dpo",
            folder,
            &[arguments, data, &["--out", "none"]].concat(),
        );
        let told = text(&output.stderr);
        assert!(!output.status.success() && told.contains(part), "{told}");
        assert!(!folder.join("none/models").exists());
    }
}

#[test]
fn a_run_that_continues_saves_its_models_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let base = model();
    let done = aligned(
        folder,
        "run",
        &base,
        &["--save-as", "adapter", "--dtype", "bf16"],
    );
    // As after a kill between the last step and the report.
    fs::remove_file(folder.join("run/report.md")).unwrap();
    fs::remove_dir_all(&done).unwrap();
    let output = run(
        "dpo",
        folder,
        &["--resume", "--out", "run", "--save-as", "adapter"],
    );
    let told = text(&output.stderr);
    assert!(
        !output.status.success() && told.contains("--dtype bf16"),
        "{told}"
    );
    succeed("dpo", folder, &["--resume", "--out", "run"]);
    assert!(done.join("adapter_config.json").exists());
    assert!(!done.join("model.safetensors").exists());
}

#[test]
fn exports_have_the_type_and_the_files_that_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let base = model();
    let arguments = [
        "--model",
        &base,
        "--out",
        "small",
        "--dtype",
        "bf16",
        "--shard-size",
        "10KB",
    ];
    succeed("export", folder, &arguments);
    assert_eq!(
        json(&folder.join("small/config.json"))["torch_dtype"],
        "bfloat16"
    );
    let index = json(&folder.join("small/model.safetensors.index.json"));
    assert!(index["weight_map"].as_object().unwrap().len() > 5);
    written(folder, "small");
    for (further, says) in [
        (["--out", "small"].as_slice(), "not empty"),
        (&["--out", "new", "--shard-size", "many"], "not a size"),
        (
            &["--out", "new", "--gguf", "f16", "--dtype", "f16"],
            "--dtype",
        ),
    ] {
        let arguments = [&["--model", base.as_str()], further].concat();
        let output = run("export", folder, &arguments);
        let told = text(&output.stderr);
        assert!(!output.status.success() && told.contains(says), "{told}");
    }
}

#[test]
fn a_gguf_file_is_a_model_and_a_model_becomes_a_gguf_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = gguf().canonicalize().unwrap().display().to_string();
    let direct = written(folder, &file);
    succeed("export", folder, &["--model", &file, "--out", "unpacked"]);
    assert_eq!(direct, written(folder, "unpacked"));
    succeed(
        "export",
        folder,
        &["--model", "unpacked", "--out", "back.gguf", "--gguf", "f32"],
    );
    assert_eq!(direct, written(folder, "back.gguf"));
    // A run starts from the file and can be continued from it.
    let trained = aligned(folder, "run", &file, &["--save-as", "adapter"]);
    assert!(trained.join("adapter_model.safetensors").exists());
    // Not a GGUF file.
    fs::write(folder.join("other.gguf"), "text").unwrap();
    let output = run(
        "generate",
        folder,
        &["--model", "other.gguf", "--prompt", "x"],
    );
    let told = text(&output.stderr);
    assert!(
        told.contains("other.gguf") && told.contains("not a GGUF file"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
}

/// Makes a cache as huggingface_hub lays it out, with one model.
fn cache(folder: &Path) -> PathBuf {
    let cache = folder.join("cache");
    let repository = cache.join("models--some--tiny");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    copy_folder(
        &fixture("llama-untied"),
        &repository.join("snapshots").join(commit),
    );
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), commit).unwrap();
    cache
}

#[test]
fn a_name_opens_the_model_in_the_cache_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cache = cache(folder);
    let offline = |name: &str, arguments: &[&str]| {
        common::command(name)
            .args(arguments)
            .current_dir(folder)
            .env("HF_HUB_CACHE", &cache)
            .env("HF_HUB_OFFLINE", "1")
            .output()
            .unwrap()
    };
    let arguments = [
        "--prompt",
        "question 3 ?",
        "--temperature",
        "0",
        "--max-new-tokens",
        "6",
    ];
    let by_name = offline(
        "generate",
        &[&["--model", "some/tiny"][..], &arguments].concat(),
    );
    assert!(by_name.status.success(), "{}", text(&by_name.stderr));
    assert_eq!(text(&by_name.stdout), written(folder, &model()));

    // The adapter of a run names the model by its name on the hub.
    write_rows(&folder.join("pairs.jsonl"), &rows(40));
    let train = [
        "--data",
        "pairs.jsonl",
        "--model",
        "some/tiny",
        "--max-length",
        "48",
        "--steps",
        "2",
        "--lora",
        "--save-as",
        "adapter",
        "--out",
        "run",
    ];
    let output = offline("dpo", &train);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let config = json(&folder.join("run/models/dpo/adapter_config.json"));
    assert_eq!(config["base_model_name_or_path"], "some/tiny");
    let adapter = ["--model", "run/models/dpo"];
    let again = offline("generate", &[&adapter[..], &arguments].concat());
    assert!(again.status.success(), "{}", text(&again.stderr));

    let missing = offline(
        "generate",
        &[&["--model", "some/other"][..], &arguments].concat(),
    );
    let told = text(&missing.stderr);
    assert!(!missing.status.success());
    for part in ["some/other", "HF_HUB_OFFLINE"] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
}

#[test]
fn the_files_of_a_data_set_are_found_by_folder_and_split() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let base = model();
    let data = folder.join("set/data");
    fs::create_dir_all(&data).unwrap();
    let all = rows(40);
    write_rows(&data.join("train-00000-of-00002.jsonl"), &all[..20]);
    write_rows(&data.join("train-00001-of-00002.jsonl"), &all[20..]);
    write_rows(&data.join("test-00000-of-00001.jsonl"), &rows(10));
    let dry = |further: &[&str]| {
        let arguments = [
            "--data",
            "set",
            "--model",
            &base,
            "--max-length",
            "48",
            "--dry-run",
        ];
        run("dpo", folder, &[&arguments[..], further].concat())
    };
    let several = dry(&[]);
    let told = text(&several.stderr);
    assert!(!several.status.success());
    assert!(told.contains("train") && told.contains("test"), "{told}");
    let found = dry(&["--split", "train"]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    assert!(
        text(&found.stdout).contains("40"),
        "{}",
        text(&found.stdout)
    );
    let checked = succeed(
        "data",
        folder,
        &["check", "set", "--split", "test", "--json"],
    );
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(report["files"][0]["rows"], 10, "{report}");
    let plain = run(
        "dpo",
        folder,
        &[
            "--data",
            "set/data/test-00000-of-00001.jsonl",
            "--split",
            "train",
            "--dry-run",
        ],
    );
    let told = text(&plain.stderr);
    assert!(told.contains("--split"), "{told}");
}
