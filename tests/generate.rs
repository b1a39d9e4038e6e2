//! The example `generate`: what it writes, and that Ctrl-C keeps what is finished.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{command, fixture, json, succeed, text};
use serde_json::Value;

fn model() -> String {
    fixture("llama-gqa-tied").display().to_string()
}

fn rows(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn one_completion_is_text_and_many_are_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    let greedy = [
        "--model",
        &model,
        "--temperature",
        "0",
        "--max-new-tokens",
        "12",
    ];
    let arguments = [&greedy[..], &["--prompt", ""]].concat();
    let output = succeed("generate", folder.path(), &arguments);
    let shown = text(&output.stdout);
    let summary = text(&output.stderr);
    assert!(
        summary.starts_with("1 completions of 1 prompts (1 eos, 0 stop, 0 length): 12 tokens"),
        "{summary}"
    );

    let arguments = [
        &greedy[..],
        &["--prompt", "", "--prompt", "the cat", "--n", "2"],
    ]
    .concat();
    let output = succeed("generate", folder.path(), &arguments);
    let rows = rows(&text(&output.stdout));
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[0]["prompt"], &rows[1]["prompt"]),
        (&"".into(), &"the cat".into())
    );
    // The continuation of BOS that the fixture names.
    let expected = json(&fixture("llama-gqa-tied").join("expected.json"));
    for completion in rows[0]["completions"].as_array().unwrap() {
        assert_eq!(completion["tokens"], expected["greedy"][0]["new_ids"]);
        assert_eq!(completion["finish"], "eos");
        assert_eq!(format!("{}\n", completion["text"].as_str().unwrap()), shown);
    }
    assert_eq!(rows[0]["completions"].as_array().unwrap().len(), 2);
}

#[test]
fn prompts_come_from_files_and_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("p.txt"), "the cat\n\na dog\n").unwrap();
    let rows_of = |arguments: &[&str]| {
        let model = model();
        let all = [
            &["--model", &model, "--max-new-tokens", "5", "--seed", "3"],
            arguments,
        ]
        .concat();
        succeed(
            "generate",
            folder.path(),
            &[&all[..], &["--out", "out.jsonl"]].concat(),
        );
        rows(&fs::read_to_string(at("out.jsonl")).unwrap())
    };
    let from_text = rows_of(&["--prompts", "p.txt"]);
    assert_eq!(from_text.len(), 2);
    assert_eq!(from_text[1]["prompt"], "a dog");
    fs::write(
        at("p.jsonl"),
        "{\"prompt\": \"the cat\", \"id\": 1}\n{\"prompt\": \"a dog\"}\n",
    )
    .unwrap();
    assert_eq!(rows_of(&["--prompts", "p.jsonl"]), from_text);
    assert_eq!(
        rows_of(&["--prompt", "the cat", "--prompt", "a dog", "--batch", "1"]),
        from_text
    );
    let mut child = command("generate")
        .args(["--model", &model(), "--max-new-tokens", "5", "--seed", "3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"the cat\na dog\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(rows(&text(&output.stdout)), from_text);
    let chat = "{\"prompt\": [{\"role\": \"user\", \"content\": \"the cat\"}]}\n";
    fs::write(at("chat.jsonl"), chat).unwrap();
    let found = rows_of(&["--prompts", "chat.jsonl", "--chat-fallback", "plain"]);
    assert_eq!(found[0]["prompt"][0]["content"], "the cat");
}

#[cfg(unix)]
#[test]
fn ctrl_c_writes_what_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    // More than any machine writes within the time given.
    // A test may run where Ctrl-C is ignored, which children inherit.
    let mut child = Command::new("env")
        .arg("--default-signal=INT,TERM,HUP")
        .arg(common::example("generate"))
        .args([
            "--model",
            &model(),
            "--prompt",
            "the cat",
            "--n",
            "200000",
            "--out",
        ])
        .arg(&out)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its first line comes when it listens to signals and writes.
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    stderr.read_line(&mut first).unwrap();
    assert!(first.starts_with("completions "), "{first}");
    std::thread::sleep(Duration::from_millis(300));
    let interrupt = format!("kill -INT {}", child.id());
    let sent = Command::new("sh").args(["-c", &interrupt]).status();
    assert!(sent.unwrap().success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    let stderr = first + &rest;
    assert_eq!(status.code(), Some(130), "{stderr}");
    let last = stderr.lines().last().unwrap();
    assert!(
        last.starts_with("stopped: ") && last.ends_with(" of 200000 completions"),
        "{stderr}"
    );
    let rows = rows(&fs::read_to_string(&out).unwrap());
    let completions = rows[0]["completions"].as_array().unwrap();
    assert_eq!(
        last,
        format!("stopped: {} of 200000 completions", completions.len())
    );
    assert!(
        completions
            .iter()
            .all(|c| c["finish"] == "eos" || c["finish"] == "length")
    );
}
