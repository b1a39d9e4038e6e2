//! Answers of saved models: sampling options from the model's folder, arguments of chat templates,
//! two models and a reward model in one chat.

#[path = "../common/mod.rs"]
mod common;
mod refusals;
mod rendering;
mod sampling;
mod sides;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use common::{command, copy_folder, fixture, json, text};
use serde_json::{Value, json};

/// A template that writes every message, with a question mark after the user's and EOS after the
/// assistant's. With `enable_thinking: false` a conversation begins with the word cake, and
/// `strftime_now` can be read.
const TEMPLATE: &str = "{{ bos_token }}{% if enable_thinking is defined and not enable_thinking %}cake {% endif %}\
    {% if dated is defined %}{{ strftime_now('%Y') }}{% endif %}\
    {% for m in messages %}{{ m['content'] }}\
    {% if m['role'] == 'assistant' %}{{ eos_token }}{% else %}? {% endif %}{% endfor %}";

/// Copies a fixture and adds a chat template.
fn model(folder: &Path, fixture_name: &str) -> PathBuf {
    let dir = folder.join(fixture_name);
    copy_folder(&fixture(fixture_name), &dir);
    set(
        &dir,
        "tokenizer_config.json",
        "chat_template",
        json!(TEMPLATE),
    );
    dir
}

/// Sets a key of a JSON file of a folder; a missing file is created.
fn set(dir: &Path, file: &str, key: &str, value: Value) {
    let path = dir.join(file);
    let mut all = match path.exists() {
        true => json(&path),
        false => json!({}),
    };
    all[key] = value;
    fs::write(path, all.to_string()).unwrap();
}

/// Runs a command with text on standard input.
fn piped(name: &str, folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = command(name)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its options reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Checks that a command with standard input ends with one line that contains all of `says`.
#[track_caller]
fn refused(name: &str, folder: &Path, arguments: &[&str], input: &str, says: &[&str]) {
    let output = piped(name, folder, arguments, input);
    let told = text(&output.stderr);
    let case = format!("{name} {}:\n{told}", arguments.join(" "));
    assert!(!output.status.success(), "{case}");
    // A training reports its data before it reads them.
    let before = told
        .lines()
        .filter(|line| !line.starts_with("error: "))
        .count();
    assert!(before == 0 || name == "sft", "{case}");
    assert_eq!(told.lines().count(), before + 1, "{case}");
    for part in says {
        assert!(told.contains(part), "{part:?} is not in: {case}");
    }
}
