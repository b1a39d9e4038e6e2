//! `data check`: lines, lengths and the chat template.

use collimate::data::{ReadOptions, TextTokenizer, TokenizedPair, Truncation, read_pairs};

use super::*;
use crate::common::{copy_folder, json as json_file};

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
    advised(&found, &["`comment`", "Rename"]);
    advised(&found, &["labels swapped", "line 6"]);
    // The table gives the same numbers.
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
    let longest = |of: fn(&TokenizedPair) -> usize| whole.iter().map(of).max();
    let tokens = &found["tokens"];
    assert_eq!(
        tokens["lengths"]["prompt"]["max"],
        json!(longest(|p| p.prompt.len()))
    );
    assert_eq!(
        tokens["lengths"]["chosen"]["max"],
        json!(longest(|p| p.chosen.len()))
    );
    let sequence = |p: &TokenizedPair| p.prompt.len() + p.chosen.len().max(p.rejected.len());
    assert_eq!(tokens["sequence"]["max"], json!(longest(sequence)));
    assert_eq!(tokens["cut"], json!(cut));
    assert_eq!((cut.truncated, cut.equal_answers), (2, 1));
    assert_eq!(found["template"]["present"], false);
    advised(&found, &["2 rows are cut at 24 tokens", "--max-length"]);
    advised(&found, &["1 pair has answers that are equal as tokens"]);
    // Without a given length, the model's own length counts.
    let found = checked(folder.path(), &["d.jsonl", "--model", &model]);
    assert_eq!(found["tokens"]["max_length"], 64);
    assert_eq!(found["tokens"]["model_max_length"], 64);
}

#[test]
fn a_check_advises_no_length_that_the_model_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("llama-gqa-tied").display().to_string();
    let long = "the cat ate the bread and the dog ate the cake. ".repeat(9);
    let data = [pair("the cat", &format!("{long}yes"), &format!("{long}no"))];
    write_rows(&folder.path().join("d.jsonl"), &data);
    let check = |length: &[&str]| {
        let all = [&["d.jsonl", "--model", &model], length].concat();
        checked(folder.path(), &all)
    };
    let found = check(&["--max-length", "24"]);
    assert!(found["tokens"]["sequence"]["max"].as_u64() > Some(64));
    advised(&found, &["1 row is cut at 24 tokens", "up to 64"]);
    let found = check(&[]);
    advised(&found, &["1 row is cut at 64 tokens", "remove long rows"]);
    let advice = found["problems"].to_string();
    assert!(!advice.contains("--max-length "), "{advice}");
    assert!(!advice.contains("raise"), "{advice}");
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
    // Without a template there are no tokens, and therefore nothing to train on.
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
    let mut config = json_file(&path);
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
        &["chat template cannot be rendered", "correct the template"],
    );
}
