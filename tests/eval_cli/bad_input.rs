//! Input that `eval` refuses.

use super::*;
use crate::answers::two_files;
use crate::pairs::bench;
use crate::prompts::questions;

#[test]
fn bad_input() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    two_files(folder);
    bench(folder);
    questions(folder);
    let model = fixture("llama-untied").display().to_string();
    let reward = fixture("llama-reward").display().to_string();
    let answers = |more: &[&str], says: &[&str]| {
        let arguments = ["answers", "--a", "a.jsonl", "--b", "b.json"];
        refused(folder, &[&arguments[..], more].concat(), says);
    };
    answers(&[], &["name one judge", "--judge-rule"]);
    answers(
        &["--judge-rule", "happy", "--judge", &reward],
        &["name one judge"],
    );
    answers(
        &["--judge-url", "http://127.0.0.1:1/v1"],
        &["--judge-model"],
    );
    answers(
        &["--judge-url", "nowhere", "--judge-model", "m"],
        &["base_url", "nowhere"],
    );
    answers(&["--judge", "none"], &["--judge none: no such folder"]);
    answers(
        &["--judge-rule", "happy", "--samples", "2"],
        &["--samples", "a rule gives scores"],
    );
    answers(
        &["--judge", &reward, "--rubric", "additive"],
        &["--rubric", "a reward model"],
    );
    answers(
        &["--judge-rule", "happy", "--tie-within", "-1"],
        &["--tie-within is -1"],
    );
    answers(
        &["--judge-rule", "happy", "--as-chat"],
        &["remove --as-chat"],
    );
    answers(&["--judge-rule", "sad"], &["--judge-rule", "sad"]);
    let server = ["--judge-url", "http://127.0.0.1:1/v1", "--judge-model", "m"];
    let asked = |more: &[&str], says: &[&str]| answers(&[&server[..], more].concat(), says);
    asked(&["--samples", "2"], &["--samples 2", "--judge-temperature"]);
    asked(&["--samples", "0"], &["--samples is 0", "at least 1"]);
    asked(&["--min-parse-rate", "2"], &["--min-parse-rate is 2"]);
    asked(
        &["--judge-temperature", "-1"],
        &["--judge-temperature is -1"],
    );
    asked(&["--concurrency", "0"], &["concurrency"]);
    asked(
        &["--ask", "pairwise", "--samples", "2"],
        &["--samples", "single"],
    );
    asked(
        &["--ask", "pairwise", "--rubric", "additive"],
        &["--rubric", "single"],
    );
    let files = |a: &str, b: &str, says: &[&str]| {
        refused(
            folder,
            &["answers", "--a", a, "--b", b, "--judge-rule", "happy"],
            says,
        );
    };
    files("none.jsonl", "b.json", &["none.jsonl: no such file"]);
    files(
        "a.jsonl",
        "bench.jsonl",
        &["bench.jsonl:1: no answer", "completion"],
    );
    rows(
        &folder.join("other.jsonl"),
        &[answer("q9", "x", "c"), answer("q8", "x", "c")],
    );
    let says = [
        "0 of the 4 prompts of a.jsonl",
        "the 2 of other.jsonl",
        "\"q1\"",
        "\"q9\"",
    ];
    files("a.jsonl", "other.jsonl", &says);

    let prompts = |model: &str, more: &[&str], says: &[&str]| {
        let arguments = ["prompts", "--model", model, "--judge-rule", "happy"];
        refused(folder, &[&arguments[..], more].concat(), says);
    };
    let file = ["--prompts", "questions.jsonl"];
    let with = |more: &[&str], says: &[&str]| prompts(&model, &[&file[..], more].concat(), says);
    with(&["--first", "0"], &["--first is 0"]);
    with(&["--temperature", "-1"], &["--temperature is -1"]);
    with(&["--against", "none"], &["--against none: no such folder"]);
    with(&["--tie-within", "1"], &["--tie-within", "one side"]);
    prompts(&reward, &file, &["--model", "causal language model"]);
    let twice = json!({"question_id": 4, "turns": ["a"]});
    rows(&folder.join("twice.jsonl"), &[twice.clone(), twice]);
    prompts(
        &model,
        &["--prompts", "twice.jsonl"],
        &["twice.jsonl:2: id 4", "line 1"],
    );
    let three = json!({"question_id": 1, "turns": ["a", "b", "c"]});
    rows(&folder.join("three.jsonl"), &[three]);
    prompts(
        &model,
        &["--prompts", "three.jsonl"],
        &["question 1 has 3 turns"],
    );

    let pairs = |more: &[&str], says: &[&str]| refused(folder, &[&["pairs"], more].concat(), says);
    pairs(
        &["--data", "none.jsonl", "--model", &model],
        &["none.jsonl: no such file"],
    );
    let data = ["--data", "bench.jsonl"];
    let with = |more: &[&str], says: &[&str]| pairs(&[&data[..], more].concat(), says);
    with(
        &["--model", &model, "--as-chat"],
        &["has no template", "--chat-fallback plain"],
    );
    with(&["--model", "none"], &["--model none: no such folder"]);
    with(
        &["--model", &model, "--by", "colour"],
        &["--by colour: no row"],
    );
    with(&["--model", &model, "--first", "0"], &["--first is 0"]);
    with(
        &["--model", &reward, "--reference", &model],
        &["remove --reference"],
    );
    with(
        &["--model", &model, "--reference", &reward],
        &["--reference", "causal language model"],
    );
    with(
        &["--model", &model, "--reference", "none"],
        &["--reference none: no such folder"],
    );
    refused(folder, &["pair"], &["pair"]);
    let nothing = run("eval", folder, &[]);
    assert!(
        text(&nothing.stderr).contains("Usage: collimate eval"),
        "{}",
        text(&nothing.stderr)
    );
}
