//! Programs in scripts: ignored signals, streams that are closed or full.
#![cfg(target_os = "linux")]

use std::process::Output;

use super::*;

/// Runs a command in a shell that first executes `before`, with `after` appended to the command.
fn by_shell(name: &str, before: &str, after: &str, folder: &Path, arguments: &[&str]) -> Output {
    std::process::Command::new("sh")
        .args(["-c", &format!("{before}; \"$@\" {after}"), "sh"])
        .args([common::PROGRAM, name])
        .args(arguments)
        .current_dir(folder)
        .env("RUST_LOG", "trace")
        .output()
        .unwrap()
}

fn generate(more: &[&str]) -> Vec<String> {
    let model = fixture("llama-gqa-tied").display().to_string();
    let all = [
        "--model",
        &model,
        "--temperature",
        "0",
        "--max-new-tokens",
        "4",
    ];
    all.iter()
        .chain(more)
        .map(|&word| word.to_owned())
        .collect()
}

/// A script that starts a command with `&` ignores SIGINT and gives no standard input.
#[test]
fn a_background_command_of_a_script_works() {
    let (folder, reward) = workplace();
    let folder = folder.path();
    for trap in ["trap '' INT", "trap '' INT HUP TERM"] {
        let words = generate(&["--prompt", "the cat"]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = by_shell("generate", trap, "<&-", folder, &words);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert!(!stderr.contains("handler"), "{stderr}");
        assert!(!output.stdout.is_empty());
    }
    let score = ["--data", "good.jsonl", "--model", &reward];
    let output = by_shell("score", "trap '' INT", "<&- >&- 2>&-", folder, &score);
    assert!(output.status.success());
}

#[test]
fn a_full_disk_is_an_error_that_names_the_output() {
    let (folder, reward) = workplace();
    let folder = folder.path();
    let one = generate(&["--prompt", "the cat"]);
    let many = generate(&["--prompt", "the cat", "--n", "2"]);
    let score = ["--data", "good.jsonl", "--model", &reward].map(str::to_owned);
    for (name, words) in [
        ("generate", one.as_slice()),
        ("generate", &many),
        ("score", &score),
        ("ser", &["--print-config".to_owned()]),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = by_shell(name, "true", ">/dev/full", folder, &words);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {stderr}");
        let last = stderr.lines().last().unwrap();
        let says = "error: standard output: No space left on device";
        assert!(last.starts_with(says), "{name}: {stderr}");
        // A log that cannot be written stops nothing.
        let output = by_shell(name, "true", "2>/dev/full", folder, &words);
        assert!(output.status.success(), "{name}: {:?}", output.status);
        assert!(!output.stdout.is_empty(), "{name}");
    }
}

#[test]
fn a_log_that_is_no_terminal_has_no_colours() {
    let (folder, reward) = workplace();
    let score = ["--data", "good.jsonl", "--model", &reward];
    let output = by_shell("score", "true", "", folder.path(), &score);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(
        stderr.contains("INFO") || stderr.contains("DEBUG"),
        "no log: {stderr}"
    );
    assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
}
