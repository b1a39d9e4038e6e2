//! The command `generate`: its output, and that Ctrl-C keeps finished answers.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use collimate::data::TextTokenizer;
use common::{command, copy_folder, fixture, json, run, succeed, text};
use serde_json::Value;

fn model() -> String {
    fixture("llama-gqa-tied").display().to_string()
}

fn rows(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns the rows for prompts from standard input.
fn piped(input: &str) -> Vec<Value> {
    let mut child = command("generate")
        .args(["--model", &model(), "--max-new-tokens", "5", "--seed", "3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    rows(&text(&output.stdout))
}

/// Makes the model's outputs for some tokens infinite, although all weights stay finite: only the
/// first value of their embeddings is not zero, and the first layer scales it beyond f32.
fn poison(file: &Path, ids: &[u32]) {
    let mut bytes = fs::read(file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let start = |name: &str| {
        let tensor = &header[name];
        assert_eq!(tensor["dtype"], "F32");
        8 + length + tensor["data_offsets"][0].as_u64().unwrap() as usize
    };
    let mut set = |at: usize, value: f32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let embedding = "model.embed_tokens.weight";
    let shape = |axis: usize| header[embedding]["shape"][axis].as_u64().unwrap() as usize;
    for id in 0..shape(0) {
        let value = if ids.contains(&(id as u32)) { 1.0 } else { 0.0 };
        set(start(embedding) + id * shape(1) * 4, value);
    }
    set(start("model.layers.0.input_layernorm.weight"), f32::MAX);
    fs::write(file, bytes).unwrap();
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
    // The continuation of BOS that the fixture lists.
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
    // A byte order mark is not part of a prompt.
    for (name, lines) in [
        ("p.txt", "\u{FEFF}the cat\na dog\n"),
        (
            "p.jsonl",
            "\u{FEFF}{\"prompt\": \"the cat\"}\n{\"prompt\": \"a dog\"}\n",
        ),
    ] {
        fs::write(at(name), lines).unwrap();
        assert_eq!(rows_of(&["--prompts", name]), from_text);
        assert_eq!(piped(lines), from_text);
    }
    assert_eq!(piped("the cat\na dog\n"), from_text);
    let braces = piped("{a dog\nthe cat\n");
    assert_eq!(
        (&braces[0]["prompt"], &braces[1]["prompt"]),
        (&"{a dog".into(), &"the cat".into())
    );
    let chat = "{\"prompt\": [{\"role\": \"user\", \"content\": \"the cat\"}]}\n";
    fs::write(at("chat.jsonl"), chat).unwrap();
    let found = rows_of(&["--prompts", "chat.jsonl", "--chat-fallback", "plain"]);
    assert_eq!(found[0]["prompt"][0]["content"], "the cat");
}

#[test]
fn an_error_keeps_what_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    copy_folder(&fixture("llama-untied"), &model);
    let tokenizer = TextTokenizer::from_folder(&model).unwrap();
    let ids = tokenizer.encode_text("the cat").unwrap();
    poison(&model.join("model.safetensors"), &ids);
    let ends = |prompts: &[&str], out: &[&str]| {
        let mut all = vec!["--model", "model", "--max-new-tokens", "1", "--batch", "1"];
        all.extend(prompts.iter().flat_map(|&prompt| ["--prompt", prompt]));
        all.extend(out);
        let output = run("generate", folder.path(), &all);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let last = stderr.lines().last().unwrap();
        assert!(last.starts_with("error: --prompt"), "{stderr}");
        assert!(last.contains("after 0 new tokens"), "{stderr}");
        text(&output.stdout)
    };
    let shown = ends(&["", "the cat"], &[]);
    let found = rows(&shown);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["prompt"], "");
    assert_eq!(found[0]["completions"].as_array().unwrap().len(), 1);
    let out = ["--out", "out.jsonl"];
    let written = || fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
    assert_eq!(ends(&["", "the cat"], &out), "");
    assert_eq!(written(), shown);
    // Nothing is finished, and existing output stays.
    assert_eq!(ends(&["the cat", ""], &out), "");
    assert_eq!(written(), shown);
}

#[test]
fn more_completions_than_can_be_counted_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (model, n) = (model(), usize::MAX.to_string());
    let arguments = ["--model", &model, "--n", &n, "--prompt", "a"];
    let arguments = [&arguments[..], &["--prompt", "the"]].concat();
    let output = run("generate", folder.path(), &arguments);
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    assert!(
        stderr.starts_with(&format!("error: --n is {n} but must be ")),
        "{stderr}"
    );
}

#[cfg(target_os = "linux")]
mod interrupted {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command};
    use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
    use std::time::{Duration, Instant};

    use super::*;

    /// More answers than any machine writes while the test waits.
    const ALL: &str = "1000000000";

    /// Returns the next line, or nothing at the end. Kills a child that takes too long.
    fn next(lines: &Receiver<String>, child: &mut Child, end: Instant) -> Option<String> {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                child.kill().unwrap();
                panic!("it takes too long");
            }
        }
    }

    /// Reads the number of finished completions from a line of progress.
    fn finished(line: &str) -> usize {
        let count = line.strip_prefix("completions ");
        let count = count.and_then(|rest| rest.split_once('/'));
        count.map_or(0, |(count, _)| count.parse().unwrap())
    }

    #[test]
    fn ctrl_c_writes_what_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.jsonl");
        // A test may run where Ctrl-C is ignored, which children inherit.
        let mut child = Command::new("env")
            .arg("--default-signal=INT,TERM,HUP")
            .args([common::PROGRAM, "generate"])
            .args(["--model", &model(), "--prompt", "the cat"])
            .args(["--n", ALL, "--out"])
            .arg(&out)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines() {
                send.send(line.unwrap()).unwrap();
            }
        });
        let end = Instant::now() + Duration::from_secs(180);
        let mut said: Vec<String> = Vec::new();
        while said.last().is_none_or(|line| finished(line) == 0) {
            let Some(line) = next(&lines, &mut child, end) else {
                panic!("it ended: {said:?}");
            };
            said.push(line);
        }
        let interrupt = format!("kill -INT {}", child.id());
        let sent = Command::new("sh").args(["-c", &interrupt]).status();
        assert!(sent.unwrap().success());
        while let Some(line) = next(&lines, &mut child, end) {
            said.push(line);
        }
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{said:?}");
        let rows = rows(&fs::read_to_string(&out).unwrap());
        let completions = rows[0]["completions"].as_array().unwrap();
        assert!(!completions.is_empty());
        let stopped = format!("stopped: {} of {ALL} completions", completions.len());
        assert_eq!(said.last(), Some(&stopped), "{said:?}");
        assert!(
            completions
                .iter()
                .all(|c| c["finish"] == "eos" || c["finish"] == "length")
        );
    }
}
