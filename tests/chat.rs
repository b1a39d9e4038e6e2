//! The command `chat`: its answers, and how it keeps a conversation.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use common::{command, copy_folder, fixture, json, succeed, text};
use serde_json::{Value, json};

/// A template that writes every message, with a question mark after the user's and EOS after the
/// assistant's.
const TEMPLATE: &str = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}\
    {% if m['role'] == 'assistant' %}{{ eos_token }}{% else %}? {% endif %}{% endfor %}";

/// Makes a model with a chat template.
fn model(folder: &Path) -> PathBuf {
    let dir = folder.join("model");
    copy_folder(&fixture("llama-gqa-tied"), &dir);
    let path = dir.join("tokenizer_config.json");
    let mut config = json(&path);
    config["chat_template"] = json!(TEMPLATE);
    fs::write(path, config.to_string()).unwrap();
    dir
}

/// Runs `chat` with lines on standard input.
fn chat(model: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command("chat")
        .arg("--model")
        .arg(model)
        .args(["--max-new-tokens", "6"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its options reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Returns the answers, one per line, of a conversation that must succeed.
#[track_caller]
fn answers(model: &Path, arguments: &[&str], input: &str) -> Vec<String> {
    let output = chat(model, arguments, input.as_bytes());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// Returns the answer that `generate` gives to messages.
fn expected(model: &Path, arguments: &[&str], messages: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let row = json!({"prompt": messages}).to_string() + "\n";
    fs::write(folder.path().join("p.jsonl"), row).unwrap();
    let model = model.display().to_string();
    let fixed = [
        "--model",
        &model,
        "--prompts",
        "p.jsonl",
        "--out",
        "out.jsonl",
    ];
    let all = [&fixed[..], &["--max-new-tokens", "6"], arguments].concat();
    succeed("generate", folder.path(), &all);
    let row = json(&folder.path().join("out.jsonl"));
    row["completions"][0]["text"].as_str().unwrap().to_owned()
}

fn user(content: &str) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: &str) -> Value {
    json!({"role": "assistant", "content": content})
}

#[test]
fn the_conversation_is_kept_until_it_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let greedy = ["--temperature", "0"];
    let first = expected(&model, &greedy, &json!([user("the cat")]));
    let second = expected(
        &model,
        &greedy,
        &json!([user("the cat"), assistant(&first), user("a dog")]),
    );
    let input = "the cat\n\na dog\n/clear\nthe cat\n/quit\na dog\n";
    assert_eq!(
        answers(&model, &greedy, input),
        [first.as_str(), &second, &first],
        "an empty line is no message, and nothing comes after /quit"
    );
    assert_eq!(answers(&model, &greedy, ""), Vec::<String>::new());
    // A last line without an end, and a byte order mark.
    assert_eq!(
        answers(&model, &greedy, "\u{feff}the cat"),
        [first.as_str()]
    );
}

#[test]
fn the_system_message_stands_before_all_turns() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let greedy = ["--temperature", "0"];
    let system = json!({"role": "system", "content": "be mild"});
    let with = expected(&model, &greedy, &json!([system, user("the cat")]));
    let without = expected(&model, &greedy, &json!([user("the cat")]));
    let options = ["--temperature", "0", "--system", "be mild"];
    assert_eq!(answers(&model, &options, "the cat\n"), [with.as_str()]);
    let input = "/system be mild\nthe cat\n/clear\n/system\nthe cat\n";
    assert_eq!(answers(&model, &greedy, input), [with, without]);
}

#[test]
fn a_retry_draws_other_numbers_for_the_same_message() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let asked = json!([user("the cat")]);
    let of = |seed: &str| expected(&model, &["--seed", seed], &asked);
    let found = answers(&model, &["--seed", "7"], "the cat\n/retry\n/retry\n");
    assert_eq!(found, [of("7"), of("8"), of("9")]);
    // The retried answer is the one that the conversation keeps.
    let kept = json!([user("the cat"), assistant(&of("8")), user("a dog")]);
    let found = answers(&model, &["--seed", "7"], "the cat\n/retry\na dog\n");
    assert_eq!(found[2], expected(&model, &["--seed", "7"], &kept));
}

#[test]
fn the_oldest_turns_are_dropped_where_the_context_ends() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    // Each message alone fits in the 64 tokens, three of them with answers do not.
    let message = "the cat and the dog ate the bread and a bit of cake";
    let input = format!("{message}\n").repeat(4);
    let output = chat(&model, &["--temperature", "0"], input.as_bytes());
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert_eq!(text(&output.stdout).lines().count(), 4);
    assert!(
        told.contains("longer than the model's 64 tokens: the oldest 2 messages"),
        "{told}"
    );
}

#[test]
fn a_model_without_template_needs_the_fallback() {
    let plain = fixture("llama-gqa-tied");
    let output = chat(&plain, &[], b"the cat\n");
    refused(&output, &["has no chat template", "--chat-fallback plain"]);
    let options = ["--temperature", "0", "--chat-fallback", "plain"];
    let found = answers(&plain, &options, "the cat\n");
    let asked = json!([user("the cat")]);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].trim_end(),
        expected(&plain, &options, &asked).trim()
    );
}

/// Checks that the program ends with one line that contains all of `says`.
#[track_caller]
fn refused(output: &Output, says: &[&str]) {
    let told = text(&output.stderr);
    assert!(!output.status.success(), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("error: "), "{told}");
    for part in says {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

#[test]
fn wrong_input_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let missing = folder.path().join("none");
    refused(&chat(&missing, &[], b""), &["--model", "no such folder"]);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    refused(&chat(&empty, &[], b""), &["empty"]);
    refused(
        &chat(&model, &["--top-p", "2"], b""),
        &["--top-p is 2", "at most 1"],
    );
    refused(
        &chat(&model, &[], b"/retyr\n"),
        &["/retyr", "no such command"],
    );
    refused(
        &chat(&model, &[], b"/retry\n"),
        &["/retry", "no message yet"],
    );
    refused(
        &chat(&model, &[], b"caf\xe9\n"),
        &["standard input:1", "UTF-8"],
    );
    let long = "the cat and the dog ".repeat(20) + "\n";
    refused(
        &chat(&model, &[], long.as_bytes()),
        &["takes 64, with the answer", "shorter"],
    );

    let path = model.join("tokenizer_config.json");
    let mut config = json(&path);
    config["chat_template"] = json!("{{ raise_exception('no') }}");
    fs::write(&path, config.to_string()).unwrap();
    refused(
        &chat(&model, &[], b"the cat\n"),
        &["correct the folder's chat template"],
    );
}
