//! Files are recognised by their contents, whatever their names; some files can be read only once.

use super::*;

const PAIR: &str = r#"{"prompt": "question ?", "chosen": "yes .", "rejected": "no ."}"#;

#[test]
fn a_file_is_named_by_what_it_holds() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let file = |name: &str, bytes: &[u8], says: &[&str]| {
        fs::write(folder.join(name), bytes).unwrap();
        data_refused(folder, &model, name, says);
    };
    let parquet = b"PAR1\x15\x04\x15\0\0\0\x12";
    file(
        "base.jsonl",
        parquet,
        &["base.jsonl: a Parquet file whose end is missing or damaged"],
    );
    file("bare.tsv", b"good\tbad\n", &["bare.tsv: tab-separated"]);
    file(
        "story.txt",
        b"Once upon a time\n",
        &["plain text", "`Once upon a time`"],
    );
    file(
        "two.csv",
        b"better,worse\na,b\n",
        &["two.csv:1:", "`better`, `worse`", "`chosen`"],
    );
    file(
        "null.jsonl",
        br#"{"prompt": "x", "chosen": null, "rejected": "y"}"#,
        &["null.jsonl:1: field `chosen` is null"],
    );
    file(
        "tools.jsonl",
        br#"{"prompt": "x", "chosen": [{"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}], "rejected": [{"role": "assistant", "content": "y"}]}"#,
        &["tools.jsonl:1: `chosen[0].tool_calls` is not supported"],
    );
    file(
        "input.jsonl",
        br#"{"input": "x", "chosen": "a", "rejected": "b"}"#,
        &["input.jsonl:1: there is no `prompt`: if `input` holds the prompt"],
    );
    let open = "prompt,chosen,rejected\nq,a,b\nq,a,\"c\n".to_owned() + &"q,a,b\n".repeat(9);
    file(
        "open.csv",
        open.as_bytes(),
        &["open.csv:3: a quote that is never closed"],
    );
    fs::write(folder.join("p.txt"), parquet).unwrap();
    let writer = fixture("llama-gqa-tied").display().to_string();
    let prompts = ["--model", &writer, "--prompts", "p.txt"];
    refused("generate", folder, &prompts, &["p.txt: a Parquet file"]);
    let short = ["--max-length", "40", "--response-tokens", "8"];
    let prompts = [&prompts[..], &short].concat();
    refused("ppo", folder, &prompts, &["p.txt: a Parquet file"]);
    fs::write(folder.join("c.json"), [0xff, 0xfe, b'{', 0, b'}', 0]).unwrap();
    refused(
        "ser",
        folder,
        &["--config", "c.json"],
        &["c.json: text in UTF-16", "iconv"],
    );
}

#[test]
fn what_was_decided_about_rows_is_told() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let told = |name: &str, body: &str, says: &[&str]| {
        fs::write(folder.join(name), body).unwrap();
        let arguments = ["--data", name, "--model", &model];
        let output = common::succeed("score", folder, &arguments);
        let stderr = text_of(&output);
        for part in says {
            assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
        }
        text(&output.stdout)
    };
    told(
        "e.csv",
        "yes .,no .\n",
        &["no header: the first column is taken as the chosen answer"],
    );
    let rows = told(
        "q.jsonl",
        r#"{"question": "why ?", "source": "web", "chosen": "yes .", "rejected": "no ."}"#,
        &["prompt read from `question`", "column `source` not used"],
    );
    assert!(rows.contains(r#""prompt":"why ?""#), "{rows}");
    let index = told(
        "i.csv",
        ",prompt,chosen,rejected\n0,why ?,yes .,no .\n",
        &["1 kept"],
    );
    assert!(index.contains(r#""prompt":"why ?""#), "{index}");
}

fn text_of(output: &std::process::Output) -> String {
    text(&output.stderr)
}

/// Runs a command with bytes on its standard input.
#[cfg(unix)]
fn piped(name: &str, folder: &Path, arguments: &[&str], input: &str) -> std::process::Output {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = common::command(name)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // The program may stop before it has read everything.
    let writing = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_once_or_refused() {
    let (folder, model) = workplace();
    let folder = folder.path();
    // More rows than a pipe and a buffer hold.
    let rows = format!("{PAIR}\n").repeat(1500);
    let data = ["--data", "/dev/stdin", "--model", &model];
    let output = piped("score", folder, &data, &rows);
    assert!(
        text_of(&output).contains("1500 rows read as trl, 1500 kept"),
        "{}",
        text_of(&output)
    );
    assert_eq!(text(&output.stdout).lines().count(), 1500);
    let accuracy = [&["pairs"], &data[..]].concat();
    let output = piped("eval", folder, &accuracy, &rows);
    assert!(
        text_of(&output).contains("1500 kept"),
        "{}",
        text_of(&output)
    );
    // Files that a run could not read again.
    let writer = fixture("llama-gqa-tied").display().to_string();
    let simulated = [&data[..], &["--simulate"]].concat();
    let policy = ["--data", "/dev/stdin", "--model", &writer];
    let prompts = ["--prompts", "/dev/stdin", "--model", &writer];
    let prompts = [&prompts[..], &["--response-tokens", "8"]].concat();
    let seeds = [
        "--ift",
        "/dev/stdin",
        "--model",
        &writer,
        "--judge-style",
        "text",
    ];
    let plain = ["--chat-fallback", "plain", "--compare", "none"];
    let seeds = [&seeds[..], &plain].concat();
    for (name, arguments) in [
        ("ser", &simulated[..]),
        ("dpo", &policy[..]),
        ("ppo", &prompts[..]),
        ("self-rewarding", &seeds[..]),
    ] {
        let arguments = [arguments, &["--max-length", "40", "--out", "out"]].concat();
        let output = piped(name, folder, &arguments, &rows);
        let stderr = text_of(&output);
        assert!(
            stderr.contains(
                "/dev/stdin is a pipe, but a run reads its data again on --resume: write the data \
                 to a file first"
            ),
            "{name}: {stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{name}: {stderr}");
        assert!(!folder.join("out").exists(), "{name}");
    }
    // Options are read once, and copied into the run.
    let config = ["--config", "/dev/stdin", "--print-config"];
    let output = piped("ser", folder, &config, r#"{"ser": {"max_loops": 7}}"#);
    assert!(
        text(&output.stdout).contains("\"max_loops\": 7"),
        "{}",
        text_of(&output)
    );
}

#[test]
fn rows_of_prompts_are_rows_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = fixture("llama-gqa-tied").display().to_string();
    let rows = "{\"prompt\": \"the cat\", \"note\": \"x\"}\n{\"prompt\": \"a dog\"}\n";
    let answers = |name: &str| {
        fs::write(folder.join(name), rows).unwrap();
        let arguments = [
            "--model",
            &model,
            "--prompts",
            name,
            "--max-new-tokens",
            "3",
        ];
        let output = common::succeed("generate", folder, &arguments);
        let stderr = text_of(&output);
        assert!(
            stderr.contains(&format!("{name}: column `note` not used")),
            "{stderr}"
        );
        text(&output.stdout)
    };
    let expected = answers("rows.jsonl");
    assert!(expected.starts_with(r#"{"prompt":"the cat""#), "{expected}");
    assert_eq!(answers("rows.txt"), expected);
    assert_eq!(answers("rows.ndjson"), expected);
}
