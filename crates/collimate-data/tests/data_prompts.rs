//! Prompt files and answer files of benchmarks, in every layout.

use std::fs;
use std::path::PathBuf;

use collimate_core::{Finish, Message, Prompt, Role};
use collimate_data::{Input, Question, QuestionFormat, read_answers, read_questions};
use tempfile::TempDir;

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.jsonl");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn questions(text: &str) -> (Vec<Question>, QuestionFormat) {
    let (_folder, path) = file(text);
    read_questions(path).unwrap()
}

#[track_caller]
fn refused(text: &str, says: &[&str]) {
    let (_folder, path) = file(text);
    let error = read_questions(path).unwrap_err().to_string();
    for part in says {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

fn question(id: &str, category: Option<&str>, turns: &[&str], reference: &[&str]) -> Question {
    let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Question {
        id: id.to_owned(),
        category: category.map(str::to_owned),
        turns: own(turns),
        reference: own(reference),
    }
}

/// A broken row is not a prompt, wherever it is in the file.
#[test]
fn rows_that_are_broken_are_no_plain_prompts() {
    for text in [
        "{\"prompt\":\"Once\"},\n{\"prompt\":\"Two\"}\n",
        "{\"prompt\":\"Once\"\n",
        "{'prompt': 'Once'}\n",
        "[\"a\",\"b\"]\n",
        "Once upon a time\n{\"prompt\":\"Two\"}\n",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prompts.txt");
        fs::write(&path, text).unwrap();
        let found = Input::open(&path).unwrap().read_prompts();
        let error = found.unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{text}: {error}");
    }
}

#[test]
fn every_layout_of_prompts() {
    let cases = [
        (
            r#"{"question_id": 81, "category": "math", "turns": ["1+1?", "And 2+2?"], "reference": ["2", "4"]}"#,
            QuestionFormat::MtBench,
            question("81", Some("math"), &["1+1?", "And 2+2?"], &["2", "4"]),
        ),
        (
            r#"{"question_id": 1, "text": "Why?", "category": "generic"}"#,
            QuestionFormat::MtBench,
            question("1", Some("generic"), &["Why?"], &[]),
        ),
        (
            r#"{"dataset": "helpful_base", "instruction": "Name a bird.", "output": "A wren."}"#,
            QuestionFormat::Alpaca,
            question("1", Some("helpful_base"), &["Name a bird."], &["A wren."]),
        ),
        (
            r#"{"instruction": "Add.", "input": "3 4", "output": "7"}"#,
            QuestionFormat::Alpaca,
            question("1", None, &["Add.\n\n3 4"], &["7"]),
        ),
        (
            r#"{"Idx": 7, "Source": "own", "Skill": "Code", "Instruction": "Sort a list."}"#,
            QuestionFormat::EvolInstruct,
            question("7", Some("Code"), &["Sort a list."], &[]),
        ),
        (
            r#"{"question_id": "a1", "category": "arena", "cluster": "Rust", "turns": [{"content": "Borrow?"}]}"#,
            QuestionFormat::ArenaHard,
            question("a1", Some("arena"), &["Borrow?"], &[]),
        ),
        (
            r#"{"question_id": "a1", "cluster": "Rust", "turns": [{"content": "Borrow?"}]}"#,
            QuestionFormat::ArenaHard,
            question("a1", Some("Rust"), &["Borrow?"], &[]),
        ),
        (
            r#"{"uid": "u", "category": "hard_prompt", "prompt": "Prove it."}"#,
            QuestionFormat::ArenaHard,
            question("u", Some("hard_prompt"), &["Prove it."], &[]),
        ),
        (
            r#"{"id": "seed_0", "instruction": "Yes or no?", "instances": [{"input": "Is ice cold?", "output": "Yes"}, {"input": "x", "output": "y"}], "is_classification": true}"#,
            QuestionFormat::SelfInstruct,
            question(
                "seed_0",
                Some("classification"),
                &["Yes or no?\n\nIs ice cold?"],
                &["Yes"],
            ),
        ),
        (
            r#"{"id": "seed_1", "instruction": "Sing.", "instances": [{"input": "", "output": "La"}], "is_classification": false}"#,
            QuestionFormat::SelfInstruct,
            question("seed_1", Some("generation"), &["Sing."], &["La"]),
        ),
    ];
    for (row, format, expected) in cases {
        let (read, found) = questions(row);
        assert_eq!((read, found), (vec![expected], format), "{row}");
    }
}

#[test]
fn arrays_are_read_like_lines() {
    let rows = [
        r#"{"instruction": "a", "output": "1"}"#,
        r#"{"instruction": "b",
            "output": "2"}"#,
    ];
    let (array, _) = questions(&format!("\n[ {} ,\n{}\n]\n", rows[0], rows[1]));
    assert_eq!(array.len(), 2);
    assert_eq!((array[1].id.as_str(), &*array[1].turns[0]), ("2", "b"));
    let (lines, _) = questions(&format!(
        "{}\n\n{}\n",
        rows[0], r#"{"instruction": "b", "output": "2"}"#
    ));
    assert_eq!(lines, array);
    // A byte order mark is not part of the first row.
    let (marked, _) = questions(&format!("\u{feff}{}", rows[0]));
    assert_eq!(marked, array[..1]);
}

#[test]
fn what_is_wrong_has_a_line() {
    let good = r#"{"question_id": 1, "category": "c", "turns": ["q"]}"#;
    let second = |row: &str| format!("{good}\n\n{row}\n");
    refused(&second("{no"), &["file.jsonl:3: not valid JSON"]);
    refused(&second("3"), &["file.jsonl:3: not a JSON object"]);
    refused(
        &second(r#"{"question_id": 2, "turns": [4]}"#),
        &["file.jsonl:3", "`turns[0]` is not a text"],
    );
    refused(
        &second(r#"{"question_id": 2, "turns": []}"#),
        &[":3", "`turns` is empty"],
    );
    refused(
        &second(r#"{"question_id": 2, "turns": [" "]}"#),
        &[":3", "a question is empty"],
    );
    refused(&second(good), &[":3", "id 1 occurs in line 1 already"]);
    refused(
        &second(r#"{"question_id": 2, "instruction": "x"}"#),
        &[":3", "field `text` is missing"],
    );
    refused(
        r#"{"question": "q"}"#,
        &[":1: no question", "this one has: question"],
    );
    refused("\n \n", &["the file is empty"]);
    refused("[]", &["the file is empty"]);
    let row = r#"{"instruction": "a"}"#;
    refused(
        &format!("[\n{row},\n{{\"instruction\": 5}}]"),
        &[":3", "`instruction` is not a text"],
    );
    refused(&format!("[\n{row},\n{row}\n{row}]"), &[":4: no comma"]);
    refused(
        &format!("[\n{row},\n{{\n\"x\"\n}}]"),
        &[":5: not valid JSON"],
    );
    refused(&format!("[\n{row},\n"), &[":3: the array has no end"]);
    refused(&format!("[\n{row}\n"), &["the array has no end"]);
    refused(
        &format!("[{row}]\n{row}"),
        &["more after the end of the array"],
    );
}

#[test]
fn every_layout_of_answers() {
    let rows = [
        r#"{"prompt": "q1", "completion": "a1", "category": "x"}"#,
        r#"{"prompt": "q2", "completions": [{"text": "a2", "finish": "length", "tokens": [1]}, "a3"]}"#,
        r#"{"instruction": "q3", "output": "", "generator": "m", "dataset": "d"}"#,
        r#"{"messages": [{"role": "user", "content": "q4"}, {"role": "assistant", "content": "a4"}]}"#,
    ];
    let (_folder, path) = file(&rows.join("\n"));
    let answers = read_answers(&path).unwrap();
    let read: Vec<(&str, &str, Option<&str>)> = answers
        .iter()
        .map(|answer| {
            let prompt = match &answer.prompt {
                Prompt::Text(text) => text.as_str(),
                Prompt::Chat(messages) => messages[0].content.as_str(),
            };
            (prompt, &*answer.completion.text, answer.category.as_deref())
        })
        .collect();
    let expected = [
        ("q1", "a1", Some("x")),
        ("q2", "a2", None),
        ("q2", "a3", None),
        ("q3", "", Some("d")),
        ("q4", "a4", None),
    ];
    assert_eq!(read, expected);
    assert_eq!(answers[1].completion.finish, Finish::Length);
    let user = Message::new(Role::User, "q4");
    assert_eq!(answers[4].prompt, Prompt::Chat(vec![user]));
    fs::write(&path, format!("[{}]", rows.join(","))).unwrap();
    assert_eq!(read_answers(&path).unwrap(), answers);
}

#[test]
fn answers_that_are_none() {
    let refused = |row: &str, says: &str| {
        let (_folder, path) = file(row);
        let error = read_answers(path).unwrap_err().to_string();
        assert!(error.contains(":1: ") && error.contains(says), "{error}");
    };
    refused(r#"{"prompt": "q"}"#, "no answer: a row has");
    refused(r#"{"completion": "a"}"#, "field `prompt` is missing");
    refused(
        r#"{"prompt": "q", "completion": 3}"#,
        "`completion` is neither",
    );
    refused(
        r#"{"prompt": "q", "completions": [{"txt": "a"}]}"#,
        "`completions[0]`",
    );
    refused(
        r#"{"prompt": "q", "completion": "a", "category": []}"#,
        "`category` is neither",
    );
    refused(
        r#"{"messages": [{"role": "user", "content": "q"}]}"#,
        "do not end with",
    );
}
