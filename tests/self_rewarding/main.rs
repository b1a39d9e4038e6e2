//! Runs `self_rewarding` from start to end on a tiny world and on files, killed and resumed.

mod bad_input;
#[path = "../common/mod.rs"]
mod common;
mod own_files;
mod ranked;
#[cfg(target_os = "linux")]
mod resume;
mod whole_run;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// Writes the options of a synthetic world and a decoder that train in seconds and learn to write
/// judgements.
pub(crate) fn tiny(folder: &Path, change: Value) -> String {
    let mut config = json!({
        "world": {"pairs": 600, "validation_pairs": 20, "test_pairs": 80},
        "test_prompts": 24,
        "seed_data": {"ranked_lists": 125, "task_lists": 200, "judge_test": 16},
        "llama": {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 160,
        },
        "pretrain_texts": 512,
        "recipe": {
            "sft": {"learning_rate": 5e-3, "epochs": 4.0, "save_every": 10},
            "train": {"learning_rate": 1e-3, "save_every": 2},
            // No rounding may decide if so small a judge is refused.
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

pub(crate) fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn prompts_of(path: &Path) -> HashSet<String> {
    let rows = rows(path);
    rows.iter()
        .map(|row| row["prompt"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap_or_else(|| panic!("{value}"))).unwrap()
}

pub(crate) fn share(value: &Value) -> f64 {
    let share = value.as_f64().unwrap_or_else(|| panic!("{value}"));
    assert!((0.0..=1.0).contains(&share), "{share}");
    share
}
