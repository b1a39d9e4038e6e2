//! The command `data`: checks, tokens, conversions.

mod common;

use std::fs;
use std::path::Path;

use collimate::core::PreferencePair;
use collimate::data::{
    Format, HhTurns, ReadOptions, SftExample, TextTokenizer, Truncation, read_pairs, read_sft,
};
use common::{copy_folder, fixture, json, root, rows, run, succeed, text, write_rows};
use serde_json::{Value, json};

/// The object that `data check --json` prints about one file.
fn checked(folder: &Path, arguments: &[&str]) -> Value {
    let output = succeed("data", folder, &[&["check", "--json"], arguments].concat());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    found["files"][0].clone()
}

/// Fails unless the command ends with one line that holds all of `says`, and prints nothing else.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], says: &[&str]) {
    let output = run("data", folder, arguments);
    let told = text(&output.stderr);
    let case = format!("{}:\n{told}", arguments.join(" "));
    assert!(!output.status.success(), "{case}");
    assert!(output.stdout.is_empty(), "{case}");
    assert_eq!(told.lines().count(), 1, "{case}");
    assert!(told.starts_with("error: "), "{case}");
    for part in says {
        assert!(told.contains(part), "{part:?} is not in: {case}");
    }
}

fn pair(prompt: &str, chosen: &str, rejected: &str) -> String {
    json!({"prompt": prompt, "chosen": chosen, "rejected": rejected}).to_string()
}

/// True if one of the sentences of advice holds all of `says`.
#[track_caller]
fn advised(found: &Value, says: &[&str]) {
    let problems = found["problems"].as_array().unwrap();
    let said = |problem: &&Value| {
        says.iter()
            .all(|part| problem.as_str().unwrap().contains(part))
    };
    assert!(
        problems.iter().any(|problem| said(&problem)),
        "{says:?}: {problems:#?}"
    );
}

#[test]
fn a_check_names_the_lines_of_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [
        pair("what ?", "yes", "no"),
        pair("what ?", "same", "same"),
        String::new(),
        r#"{"prompt": "a", "chosen": "#.to_owned(),
        pair("what ?", "yes", "no"),
        pair("what ?", "no", "yes"),
        pair("who ?", "me", " "),
        json!({"prompt": "p", "chosen": "long answer", "rejected": "b", "comment": "x"})
            .to_string(),
    ];
    write_rows(&folder.path().join("d.jsonl"), &rows);
    let found = checked(folder.path(), &["d.jsonl"]);
    assert_eq!(
        (&found["format"], &found["kind"]),
        (&json!("trl"), &json!("pair"))
    );
    assert!(
        found["recognised_by"]
            .as_str()
            .unwrap()
            .contains("`chosen` and `rejected`")
    );
    assert_eq!((&found["rows"], &found["kept"]), (&json!(7), &json!(4)));
    let dropped = |reason: &str| {
        let all = found["dropped"].as_array().unwrap();
        all.iter()
            .find(|dropped| dropped["reason"] == reason)
            .unwrap()
            .clone()
    };
    assert_eq!(dropped("equal_answers")["lines"], json!([2]));
    assert_eq!(
        dropped("malformed")["lines"],
        json!([4]),
        "blank lines count as lines"
    );
    assert_eq!(dropped("empty_completion")["lines"], json!([7]));
    assert_eq!(found["columns_not_read"], json!(["comment"]));
    let repeats = &found["repeats"];
    assert_eq!(
        (&repeats["equal_rows"], &repeats["equal_lines"]),
        (&json!(1), &json!([5]))
    );
    assert_eq!(
        (&repeats["swapped_pairs"], &repeats["swapped_lines"]),
        (&json!(1), &json!([6]))
    );
    assert_eq!(repeats["equal_prompts"], 2);
    let lengths = |part: &str| found["characters"][part].clone();
    assert_eq!(lengths("prompt"), json!({"median": 6, "p95": 6, "max": 6}));
    assert_eq!(
        lengths("chosen"),
        json!({"median": 3, "p95": 11, "max": 11})
    );
    advised(&found, &["equal answers", "line 2"]);
    advised(
        &found,
        &[
            "cannot be read",
            "line 4",
            "not valid JSON",
            "--on-bad-row drop",
        ],
    );
    advised(&found, &["`comment`", "rename"]);
    advised(&found, &["labels swapped", "line 6"]);
    // The table tells the same.
    let table = text(&succeed("data", folder.path(), &["check", "d.jsonl"]).stdout);
    for part in [
        "trl (",
        "malformed: 1 (line 4)",
        "* 1 pair is an earlier pair with the labels",
    ] {
        assert!(table.contains(part), "{part:?} is not in: {table}");
    }
    assert!(!table.contains('\u{1b}'));
}

#[test]
fn a_check_with_a_model_tells_lengths_and_cuts_in_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("llama-gqa-tied").display().to_string();
    let long = "the cat ate the bread and the dog ate the cake. ".repeat(3);
    let data = [
        pair("the cat", "a dog", "a cat"),
        pair(&long, "a dog is here", "a cat is here"),
        pair("the cat", &format!("{long}yes"), &format!("{long}no")),
    ];
    write_rows(&folder.path().join("d.jsonl"), &data);
    let found = checked(
        folder.path(),
        &["d.jsonl", "--model", &model, "--max-length", "24"],
    );

    let (pairs, _) = read_pairs(folder.path().join("d.jsonl"), &ReadOptions::default()).unwrap();
    let tokenizer = TextTokenizer::from_folder(&model).unwrap();
    let encode = |length| {
        tokenizer
            .encode_pairs(&pairs, length, Truncation::KeepEnd)
            .unwrap()
    };
    let (whole, _) = encode(100_000);
    let (_, cut) = encode(24);
    let longest = |of: fn(&collimate::data::TokenizedPair) -> usize| whole.iter().map(of).max();
    let tokens = &found["tokens"];
    assert_eq!(
        tokens["lengths"]["prompt"]["max"],
        json!(longest(|p| p.prompt.len()))
    );
    assert_eq!(
        tokens["lengths"]["chosen"]["max"],
        json!(longest(|p| p.chosen.len()))
    );
    let sequence =
        |p: &collimate::data::TokenizedPair| p.prompt.len() + p.chosen.len().max(p.rejected.len());
    assert_eq!(tokens["sequence"]["max"], json!(longest(sequence)));
    assert_eq!(tokens["cut"], json!(cut));
    assert_eq!((cut.truncated, cut.equal_answers), (2, 1));
    assert_eq!(found["template"]["present"], false);
    advised(&found, &["2 rows are cut at 24 tokens", "--max-length"]);
    advised(&found, &["1 pair has equal answers as tokens"]);
    // Without a length, the model's own counts.
    let found = checked(folder.path(), &["d.jsonl", "--model", &model]);
    assert_eq!(found["tokens"]["max_length"], 64);
}

#[test]
fn a_check_tries_the_chat_template() {
    let folder = tempfile::tempdir().unwrap();
    let chat = json!({
        "prompt": [{"role": "user", "content": "the cat"}],
        "chosen": [{"role": "assistant", "content": "a dog"}],
        "rejected": [{"role": "assistant", "content": "a cat"}],
    });
    write_rows(&folder.path().join("d.jsonl"), &[chat.to_string()]);
    let dir = folder.path().join("model");
    copy_folder(&fixture("llama-gqa-tied"), &dir);
    let arguments = ["check", "--json", "d.jsonl", "--model", "model"];
    // Without a template there are no tokens, and so nothing to train on.
    let output = run("data", folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["usable"], false);
    assert_eq!(found["files"][0]["tokens"]["refused_lines"], json!([1]));
    advised(&found["files"][0], &["no tokens", "--chat-fallback plain"]);
    let plain = ["d.jsonl", "--model", "model", "--chat-fallback", "plain"];
    let found = checked(folder.path(), &plain);
    assert_eq!(
        (&found["conversations"], &found["tokens"]["refused"]),
        (&json!(1), &json!(0))
    );

    let path = dir.join("tokenizer_config.json");
    let mut config = json(&path);
    let good = "{% for m in messages %}{% if m['role'] == 'system' %}\
        {{ raise_exception('no system') }}{% endif %}{{ m['content'] }} {% endfor %}";
    config["chat_template"] = json!(good);
    fs::write(&path, config.to_string()).unwrap();
    let found = checked(folder.path(), &["d.jsonl", "--model", "model"]);
    let template = &found["template"];
    assert_eq!(
        (&template["present"], &template["problem"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(template["takes_system"], false);

    config["chat_template"] = json!("{% for m in messages %}");
    fs::write(&path, config.to_string()).unwrap();
    let output = run("data", folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    advised(
        &found["files"][0],
        &["chat template cannot be rendered", "mend"],
    );
}

#[test]
fn a_check_recognises_every_kind_of_rows() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    write("p.txt", "the cat\na dog\n");
    write(
        "m.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"a\"}]}\n",
    );
    write(
        "q.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}]}\n",
    );
    write(
        "s.jsonl",
        "{\"prompt\": \"q\", \"completion\": \"a\", \"score\": 3}\n",
    );
    write("c.jsonl", "{\"prompt\": \"q\", \"completion\": \"a\"}\n");
    write("t.csv", "prompt,chosen,rejected\nq,yes,no\n");
    for (file, format, kind) in [
        ("p.txt", "prompts", "prompt"),
        ("m.jsonl", "messages", "example"),
        ("q.jsonl", "prompts", "prompt"),
        ("s.jsonl", "graded_answers", "scored answer"),
        ("c.jsonl", "prompt_completion", "example"),
        ("t.csv", "two_column_csv", "pair"),
    ] {
        let found = checked(folder.path(), &[file]);
        assert_eq!(
            (&found["format"], &found["kind"]),
            (&json!(format), &json!(kind)),
            "{file}"
        );
        assert_eq!(found["problems"], json!([]), "{file}");
    }
    // A kind that is asked for by name.
    let found = checked(folder.path(), &["s.jsonl", "--format", "prompt_completion"]);
    assert_eq!(found["recognised_by"], "--format names it");
    // Prompts that a training and a test file share.
    let output = succeed(
        "data",
        folder.path(),
        &["check", "--json", "s.jsonl", "t.csv", "p.txt"],
    );
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["shared_prompts"][0]["prompts"], 1);
    assert_eq!(found["shared_prompts"].as_array().unwrap().len(), 1);
}

#[test]
fn wrong_files_and_models_are_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("empty.jsonl", b"");
    write("binary.bin", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01");
    write(
        "label.jsonl",
        b"{\"prompt\": \"q\", \"completion\": \"a\", \"label\": true}\n",
    );
    write_rows(&folder.path().join("good.jsonl"), &rows(3));
    let model = fixture("llama-gqa-tied").display().to_string();
    for command in [
        &["check"][..],
        &["show-tokens", "--model", &model],
        &["convert", "--out", "o"],
    ] {
        let with = |file| [command, &[file]].concat();
        refused(
            folder.path(),
            &with("none.jsonl"),
            &["none.jsonl", "no such file"],
        );
        refused(
            folder.path(),
            &with("empty.jsonl"),
            &["empty.jsonl", "is empty"],
        );
        refused(folder.path(), &with("binary.bin"), &["binary.bin"]);
        refused(folder.path(), &with("label.jsonl"), &["label.jsonl", "KTO"]);
        refused(folder.path(), &with("."), &["folder", "name a file"]);
        assert!(!folder.path().join("o").exists());
    }
    for command in ["check", "show-tokens"] {
        let with = |model| [command, "good.jsonl", "--model", model];
        refused(
            folder.path(),
            &with("none"),
            &["--model", "none", "no such folder"],
        );
        refused(folder.path(), &with("."), &["--model", "tokenizer.json"]);
    }
    let tokens = ["show-tokens", "good.jsonl", "--model", &model];
    let with = |more: [&'static str; 2]| [&tokens[..], &more].concat();
    refused(
        folder.path(),
        &with(["--row", "4"]),
        &["--row 4", "at most 3"],
    );
    refused(folder.path(), &with(["--row", "0"]), &["count from 1"]);
    refused(
        folder.path(),
        &with(["--max-length", "2"]),
        &["--max-length 2", "at least 3"],
    );
}

#[test]
fn a_file_without_a_usable_row_has_status_one() {
    let folder = tempfile::tempdir().unwrap();
    write_rows(
        &folder.path().join("d.jsonl"),
        &vec![pair("p", "a", "a"); 7],
    );
    let output = run("data", folder.path(), &["check", "d.jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert!(
        table.contains("equal answers: 7 (lines 1, 2, 3, 4, 5, …)"),
        "{table}"
    );
    assert!(text(&output.stderr).contains("no row can be used"));
}

#[test]
fn the_tokens_of_a_row_are_those_of_training() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("llama-gqa-tied").display().to_string();
    let long = "the cat ate the bread. ".repeat(4);
    write_rows(
        &folder.path().join("d.jsonl"),
        &[
            pair("the cat", "a dog", "a cat"),
            pair(&long, "a dog", "a cat and a dog"),
        ],
    );
    let shown = |more: &[&str]| -> Value {
        let fixed = ["show-tokens", "d.jsonl", "--model", &model, "--json"];
        let output = succeed("data", folder.path(), &[&fixed[..], more].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (pairs, _) = read_pairs(folder.path().join("d.jsonl"), &ReadOptions::default()).unwrap();
    let tokenizer = TextTokenizer::from_folder(&model).unwrap();
    let expected = tokenizer
        .encode_pair(&pairs[0], 64, Truncation::KeepEnd)
        .unwrap();
    let found = shown(&[]);
    assert_eq!(found["rows"].as_array().unwrap().len(), 1);
    let sequence = &found["rows"][0]["sequences"][1];
    assert_eq!(sequence["name"], "prompt + rejected");
    let tokens = sequence["tokens"].as_array().unwrap();
    let ids: Vec<u64> = tokens
        .iter()
        .map(|token| token["id"].as_u64().unwrap())
        .collect();
    let joint = expected.prompt.iter().chain(&expected.rejected);
    assert_eq!(ids, joint.map(|&id| u64::from(id)).collect::<Vec<_>>());
    let learned = tokens
        .iter()
        .filter(|token| token["learned"] == true)
        .count();
    assert_eq!(learned, expected.rejected.len());
    let words: String = tokens
        .iter()
        .map(|token| token["text"].as_str().unwrap())
        .collect();
    assert_eq!(words, "the cata cat");
    let special = |at: usize| tokens[at]["special"].as_bool().unwrap();
    assert!(special(0) && special(ids.len() - 1) && !special(1));

    // The start of a long prompt is cut, and told.
    let found = shown(&["--row", "2", "--rows", "9", "--max-length", "16"]);
    let fitted = tokenizer
        .encode_pair(&pairs[1], 16, Truncation::KeepEnd)
        .unwrap();
    let whole = tokenizer
        .encode_pair(&pairs[1], 9999, Truncation::KeepEnd)
        .unwrap();
    let row = &found["rows"][0];
    assert_eq!((&row["row"], &row["line"]), (&json!(2), &json!(2)));
    let cut = &row["sequences"][0]["cut"][0];
    assert_eq!(
        (&cut["part"], &cut["at"]),
        (&json!("prompt"), &json!("start"))
    );
    assert_eq!(
        cut["tokens"],
        json!(whole.prompt.len() - fitted.prompt.len())
    );
    assert!(long.starts_with(cut["text"].as_str().unwrap()));

    let fixed = ["show-tokens", "d.jsonl", "--model", &model];
    let table = text(&succeed("data", folder.path(), &fixed).stdout);
    for part in [
        "prompt + chosen",
        "<s>",
        "learned, special",
        "learned from",
        "d.jsonl:1, row 1",
    ] {
        assert!(table.contains(part), "{part:?} is not in: {table}");
    }
    assert!(!table.contains('\u{1b}'), "{table}");
}

/// Converts a file and reads both as pairs.
fn converted(
    folder: &Path,
    file: &str,
    options: &ReadOptions,
    more: &[&str],
) -> [Vec<PreferencePair>; 2] {
    let out = format!("{file}.out.jsonl");
    let arguments = [&["convert", file, "--out", &out], more].concat();
    succeed("data", folder, &arguments);
    let (before, _) = read_pairs(folder.join(file), options).unwrap();
    let (after, report) = read_pairs(folder.join(&out), &ReadOptions::default()).unwrap();
    assert_eq!(report.rows, report.kept);
    [before, after]
}

#[test]
fn converted_pairs_are_the_same_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let dialogue = |answer: &str| {
        format!("\n\nHuman: one\n\nAssistant: two\n\nHuman: three\n\nAssistant:{answer}")
    };
    let hh = json!({"chosen": dialogue(" yes"), "rejected": dialogue(" no")});
    let chat = json!({
        "chosen": [message("user", "q"), message("assistant", "yes")],
        "rejected": [message("user", "q"), message("assistant", "no")],
    });
    let bare =
        json!({"chosen": [message("assistant", "y")], "rejected": [message("assistant", "n")]});
    let scored = json!({
        "prompt": "q", "chosen": "yes", "rejected": "no", "score_chosen": 8.5, "score_rejected": 2.25,
    });
    let unscored = json!({
        "prompt": "q", "chosen": "y", "rejected": "n", "score_chosen": null, "score_rejected": null,
    });
    let votes = json!({"question": "q", "answers": [
        {"text": "a", "pm_score": 3}, {"text": "b", "pm_score": 1}, {"text": "c", "pm_score": 0},
    ]});
    let tree = json!({"message_tree_id": "x", "prompt": {
        "role": "prompter", "text": "q", "replies": [
            {"role": "assistant", "text": "a", "rank": 0, "replies": []},
            {"role": "assistant", "text": "b", "rank": 1, "replies": []},
        ],
    }});
    let cases: [(&str, Vec<Value>, usize); 6] = [
        (
            "trl.jsonl",
            vec![json!({"prompt": "", "chosen": "é \"x\"\n", "rejected": " n"})],
            1,
        ),
        ("chat.jsonl", vec![chat, bare], 2),
        // The first row has no score: the second's must be kept all the same.
        ("scores.jsonl", vec![unscored, scored], 2),
        ("votes.jsonl", vec![votes], 3),
        ("tree.jsonl", vec![tree], 1),
        ("hh.jsonl", vec![hh.clone()], 1),
    ];
    let options = ReadOptions::default();
    for (file, rows, pairs) in cases {
        let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        write_rows(&folder.path().join(file), &rows);
        let [before, after] = converted(folder.path(), file, &options, &[]);
        assert_eq!(before, after, "{file}");
        assert_eq!(before.len(), pairs, "{file}");
    }
    let gaps = converted_gaps(&folder.path().join("scores.jsonl.out.jsonl"));
    assert!(gaps[0].is_none() && gaps[1] == Some(6.25), "{gaps:?}");

    // Of a dialogue the last turn alone, where that is asked for.
    let last = ReadOptions {
        hh_turns: HhTurns::LastTurnOnly,
        ..ReadOptions::default()
    };
    write_rows(&folder.path().join("last.jsonl"), &[hh.to_string()]);
    let more = ["--hh-turns", "last_turn_only"];
    let [before, after] = converted(folder.path(), "last.jsonl", &last, &more);
    assert_eq!(before, after);
    assert_eq!(after[0].prompt.to_plain(), "\n\nHuman: three\n\nAssistant:");

    fs::write(
        folder.path().join("t.csv"),
        "I fed the cat.,I kicked the cat.\n\"a, b\",c\n",
    )
    .unwrap();
    let table = ReadOptions {
        format: Some(Format::TwoColumnCsv),
        ..ReadOptions::default()
    };
    let more = ["--format", "two_column_csv"];
    let [before, after] = converted(folder.path(), "t.csv", &table, &more);
    assert_eq!(before, after);
}

fn converted_gaps(path: &Path) -> Vec<Option<f64>> {
    let (pairs, _) = read_pairs(path, &ReadOptions::default()).unwrap();
    pairs.iter().map(|pair| pair.score_gap).collect()
}

#[test]
fn converted_examples_are_the_same_examples() {
    let folder = tempfile::tempdir().unwrap();
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let talk = json!({"messages": [
        message("system", "s"), message("user", "q"), message("assistant", "a"),
    ]});
    let text_row = json!({"prompt": "q", "completion": "a"});
    let chat_row =
        json!({"prompt": [message("user", "q")], "completion": [message("assistant", "b")]});
    let read =
        |path: &Path| -> Vec<SftExample> { read_sft(path, &ReadOptions::default()).unwrap().0 };
    for (file, rows, key) in [
        ("talk.jsonl", vec![&talk], "messages"),
        ("text.jsonl", vec![&text_row], "completion"),
        ("mixed.jsonl", vec![&text_row, &chat_row], "completion"),
    ] {
        let rows: Vec<String> = rows.iter().map(|row| row.to_string()).collect();
        write_rows(&folder.path().join(file), &rows);
        let out = format!("out-{file}");
        succeed("data", folder.path(), &["convert", file, "--out", &out]);
        let out = folder.path().join(out);
        assert_eq!(read(&out), read(&folder.path().join(file)), "{file}");
        assert!(
            fs::read_to_string(&out)
                .unwrap()
                .contains(&format!("\"{key}\"")),
            "{file}"
        );
    }
}

#[test]
fn a_conversion_replaces_nothing_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut data = rows(3);
    data.push("{\"prompt\": \"q\"}".to_owned());
    data.push(pair("q", "same", "same"));
    write_rows(&at("d.jsonl"), &data);
    fs::write(at("out.jsonl"), "mine").unwrap();
    let arguments = ["convert", "d.jsonl", "--out", "out.jsonl"];
    refused(
        folder.path(),
        &arguments,
        &["out.jsonl", "exists", "--force"],
    );
    let force = [&arguments[..], &["--force"]].concat();
    refused(folder.path(), &force, &["d.jsonl:4", "`chosen` is missing"]);
    assert_eq!(fs::read_to_string(at("out.jsonl")).unwrap(), "mine");
    let drop = [&force[..], &["--on-bad-row", "drop"]].concat();
    let told = text(&succeed("data", folder.path(), &drop).stderr);
    assert!(told.contains("dropped: lines 4, 5"), "{told}");
    assert!(
        told.contains("wrote 3 rows to out.jsonl, 2 dropped"),
        "{told}"
    );
    assert_eq!(
        fs::read_to_string(at("out.jsonl")).unwrap().lines().count(),
        3
    );

    write_rows(
        &at("s.jsonl"),
        &["{\"prompt\": \"q\", \"completion\": \"a\"}".to_owned()],
    );
    write_rows(&at("good.jsonl"), &rows(2));
    fs::write(at("p.txt"), "the cat\n").unwrap();
    let into = |files: &[&'static str]| [&["convert", "--out", "new"], files].concat();
    let output = run("data", folder.path(), &into(&["good.jsonl", "s.jsonl"]));
    assert!(text(&output.stderr).contains("convert each kind by itself"));
    refused(
        folder.path(),
        &into(&["p.txt"]),
        &["p.txt", "holds prompts"],
    );
    assert!(!at("new").exists());
    // The folder of the tests is no place to write to.
    assert!(!root().join("new").exists());
}
