//! Shared parts of the top-level tests: the program's commands as processes, and small inputs for them.
#![allow(dead_code)] // each test uses its part

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Path of the program, built by cargo for these tests.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_collimate");

/// Makes the command `collimate NAME` without the caller's settings.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg(name).env_remove("RUST_LOG");
    command
}

/// Runs a command in a folder.
pub(crate) fn run(name: &str, folder: &Path, arguments: &[&str]) -> Output {
    command(name)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Runs a command that must succeed.
pub(crate) fn succeed(name: &str, folder: &Path, arguments: &[&str]) -> Output {
    let output = run(name, folder, arguments);
    assert!(
        output.status.success(),
        "{name} {arguments:?}: {}",
        text(&output.stderr)
    );
    output
}

/// Returns output as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the path of a committed model folder.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/hf")
        .join(name)
}

/// Returns the root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Copies a model folder, so that a test may damage it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Writes the options of a synthetic world and a decoder that train in about a second, with at
/// least one loop.
pub(crate) fn tiny_world(folder: &Path) -> PathBuf {
    let config = serde_json::json!({
        "world": {"pairs": 600, "validation_pairs": 100, "test_pairs": 200},
        "llama": {
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 64,
        },
        "pretrain_texts": 128,
        "sft": {"learning_rate": 3e-3, "epochs": 1.0, "save_every": 2},
        "stop_after": "ppo",
        "policy_rewards": ["loop0", "ser", "full", "gold"],
        "ser": {
            "recipe": "paper", "also": [], "seed_steps": "epochs", "controls": [],
            "max_length": 48,
            "max_loops": 2,
            "filter": {"thresholds": {"min_count": {"absolute": 8}}},
            "train": {
                "learning_rate": 3e-3, "epochs": 6.0, "batch_size": 16,
                "eval_every": 20, "save_every": 5,
            },
        },
        "policy_test_prompts": 40,
        "policy": {"watched": 2, "ppo": tiny_ppo()},
    });
    let path = folder.join("tiny.json");
    fs::write(&path, config.to_string()).unwrap();
    path
}

/// Returns the options of a policy stage that trains in a second or two.
pub(crate) fn tiny_ppo() -> serde_json::Value {
    serde_json::json!({
        "rollouts": 3, "rollout_size": 24, "mini_batch_size": 8, "ppo_epochs": 2,
        "max_new_tokens": 10, "save_every": 2, "sample_every": 2,
    })
}

/// Removes the values that depend on the load of the machine.
pub(crate) fn without_seconds(mut value: serde_json::Value) -> serde_json::Value {
    fn clean(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.retain(|name, _| !name.ends_with("seconds"));
                fields.remove("peak_memory_bytes");
                fields.values_mut().for_each(clean);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(clean),
            _ => {}
        }
    }
    clean(&mut value);
    value
}

/// Makes `n` pairs as TRL rows.
pub(crate) fn rows(n: usize) -> Vec<String> {
    (0..n)
        .map(|i| {
            serde_json::json!({
                "prompt": format!("question {i} ?"),
                "chosen": format!("yes , {i} ."),
                "rejected": format!("no , {i} ."),
            })
            .to_string()
        })
        .collect()
}

/// Writes rows, one per line.
pub(crate) fn write_rows(path: &Path, rows: &[String]) {
    fs::write(path, rows.join("\n") + "\n").unwrap();
}

/// Reads a JSON file.
pub(crate) fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Returns every file below a folder with its bytes, sorted by path.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                // Event files hold the time of day.
                true if path.ends_with("tensorboard") => {}
                true => folders.push(path),
                false => found.push((path.clone(), fs::read(&path).unwrap())),
            }
        }
    }
    found.sort();
    found
}
