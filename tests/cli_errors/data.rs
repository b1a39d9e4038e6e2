//! Files and rows that are refused.

use collimate::core::PreferencePair;
use collimate::data::split_by_hash;

use super::*;

#[test]
fn data_files() {
    let (folder, model) = workplace();
    let folder = folder.path();
    data_refused(
        folder,
        &model,
        "none.jsonl",
        &["none.jsonl", "no such file"],
    );
    fs::write(folder.join("empty.jsonl"), "").unwrap();
    data_refused(folder, &model, "empty.jsonl", &["empty.jsonl", "is empty"]);
    fs::write(folder.join("blank.jsonl"), "\n\n").unwrap();
    data_refused(folder, &model, "blank.jsonl", &["blank.jsonl", "is empty"]);

    let with = |name: &str, line: usize, row: &str| {
        let mut rows = rows(60);
        rows[line - 1] = row.to_owned();
        write_rows(&folder.join(name), &rows);
    };
    with("malformed.jsonl", 3, r#"{"prompt": "a", "chosen": "#);
    data_refused(
        folder,
        &model,
        "malformed.jsonl",
        &["malformed.jsonl:3:", "not valid JSON"],
    );
    with("half.jsonl", 7, r#"{"prompt": "a", "chosen": "b"}"#);
    data_refused(
        folder,
        &model,
        "half.jsonl",
        &["half.jsonl:7:", "`rejected` is missing"],
    );

    let mut bytes = (rows(2).join("\n") + "\n").into_bytes();
    bytes.extend(b"{\"prompt\": \"\xff\", \"chosen\": \"a\", \"rejected\": \"b\"}\n");
    fs::write(folder.join("latin.jsonl"), bytes).unwrap();
    data_refused(
        folder,
        &model,
        "latin.jsonl",
        &["latin.jsonl:3:", "not valid UTF-8"],
    );
}

#[test]
fn data_without_a_usable_pair() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let row = |value: Value| value.to_string();
    let same = row(json!({"prompt": "p", "chosen": "a", "rejected": "a"}));
    write_rows(&folder.join("same.jsonl"), &vec![same; 5]);
    data_refused(
        folder,
        &model,
        "same.jsonl",
        &["same.jsonl", "equal answers: 5"],
    );
    let other = row(json!({
        "chosen": "\n\nHuman: one thing\n\nAssistant: yes",
        "rejected": "\n\nHuman: another thing\n\nAssistant: no",
    }));
    write_rows(&folder.join("other.jsonl"), &vec![other; 5]);
    data_refused(
        folder,
        &model,
        "other.jsonl",
        &["other.jsonl", "different prompts: 5"],
    );
    write_rows(&folder.join("one.jsonl"), &rows(1));
    let one = [
        "--simulate",
        "--data",
        "one.jsonl",
        "--model",
        &model,
        "--max-length",
        "64",
    ];
    refused(
        "ser",
        folder,
        &one,
        &["no row is left to learn from", "give rows with more"],
    );
}

#[test]
fn rows_of_one_prompt_can_all_fall_into_the_parts_that_measure() {
    let (folder, _) = workplace();
    let folder = folder.path();
    let pairs = |prompt: &str| -> Vec<PreferencePair> {
        let pair = |i: usize| PreferencePair::new(prompt, format!("yes {i}"), format!("no {i}"));
        (0..12).map(pair).collect()
    };
    // A prompt of the tenth that is held out, whatever the other shares are.
    let held = |prompt: &String| {
        let parts = split_by_hash(pairs(prompt), &[0.1, 0.9]).unwrap();
        parts[1].is_empty()
    };
    let prompt = (0..400)
        .map(|i| format!("question {i} ?"))
        .find(held)
        .unwrap();
    let rows: Vec<String> = pairs(&prompt)
        .iter()
        .map(|pair| {
            let (chosen, rejected) = (&pair.chosen.text, &pair.rejected.text);
            json!({"prompt": prompt, "chosen": chosen, "rejected": rejected}).to_string()
        })
        .collect();
    write_rows(&folder.join("one.jsonl"), &rows);
    let reward = fixture("llama-reward").display().to_string();
    let writer = fixture("llama-untied").display().to_string();
    let cases: [(&str, &str, &[&str]); 5] = [
        ("reward", &reward, &[]),
        ("ser", &reward, &["--simulate"]),
        ("dpo", &writer, &[]),
        ("sft", &writer, &[]),
        ("kto", &writer, &[]),
    ];
    for (command, model, more) in cases {
        let arguments = [
            "--data",
            "one.jsonl",
            "--model",
            model,
            "--max-length",
            "64",
        ];
        let says = [
            "rows with one prompt stay together",
            "rows (1 different prompts)",
        ];
        refused(command, folder, &[&arguments[..], more].concat(), &says);
    }
}

#[test]
fn a_bad_row_can_be_dropped() {
    let (folder, model) = workplace();
    let mut rows = rows(10);
    rows[2] = r#"{"prompt": "p"}"#.to_owned();
    write_rows(&folder.path().join("data.jsonl"), &rows);
    let arguments = ["--data", "data.jsonl", "--model", &model];
    let output = run("score", folder.path(), &arguments);
    assert!(text(&output.stderr).contains("on_bad_row: drop"));
    let dropping = [&arguments[..], &["--on-bad-row", "drop"]].concat();
    let output = common::succeed("score", folder.path(), &dropping);
    assert_eq!(text(&output.stdout).lines().count(), 9);
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = common::command("ser")
        .arg("--print-config")
        .stdout(writer)
        .output()
        .unwrap();
    assert!(output.status.success());
    let stderr = text(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_row_with_equal_answers_is_dropped_and_counted() {
    let (folder, model) = workplace();
    let mut rows = rows(10);
    rows[4] = json!({"prompt": "p", "chosen": "a", "rejected": "a"}).to_string();
    write_rows(&folder.path().join("data.jsonl"), &rows);
    let arguments = ["--data", "data.jsonl", "--model", &model];
    let output = common::succeed("score", folder.path(), &arguments);
    assert_eq!(text(&output.stdout).lines().count(), 9);
    assert!(text(&output.stderr).contains("10 rows read as trl, 9 kept, 1 dropped"));
}

#[test]
fn a_file_given_twice_is_refused() {
    let (folder, model) = workplace();
    let arguments = [
        "--simulate",
        "--data",
        "good.jsonl",
        "--test",
        "good.jsonl",
        "--model",
        &model,
    ];
    refused("ser", folder.path(), &arguments, &["good.jsonl", "twice"]);
}

/// Measures the seconds to score a file with one line of `megabytes`.
fn seconds_for(megabytes: usize) -> f64 {
    let (folder, model) = workplace();
    let mut all = rows(3);
    let long = "no , not this one . ".repeat(megabytes * 1_000_000 / 20);
    all.push(json!({"prompt": "why ?", "chosen": "yes", "rejected": long}).to_string());
    write_rows(&folder.path().join("long.jsonl"), &all);
    let arguments = ["--data", "long.jsonl", "--model", &model];
    let started = Instant::now();
    let output = common::succeed("score", folder.path(), &arguments);
    let seconds = started.elapsed().as_secs_f64();
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("longest sequence: 64 tokens; 1 of 4 rows cut"),
        "{stderr}"
    );
    assert_eq!(text(&output.stdout).lines().count(), 4);
    seconds
}

#[test]
fn a_long_line_takes_linear_time() {
    // The best of three runs, taken in turns: other work on the machine disturbs both alike.
    let (mut one, mut four) = (f64::MAX, f64::MAX);
    for _ in 0..3 {
        one = one.min(seconds_for(1));
        four = four.min(seconds_for(4));
    }
    assert!(four < 8.0 * one, "1 MB: {one:.2} s, 4 MB: {four:.2} s");
}
