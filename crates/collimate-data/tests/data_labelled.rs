//! Single completions with a label, good or bad.

use std::fs;

use collimate_core::Prompt;
use collimate_data::{read_labelled, read_sft};

fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn labels_are_true_false_one_or_zero() {
    let (_folder, path) = file(concat!(
        "{\"prompt\": \"2 + 2 ?\", \"completion\": \"4\", \"label\": true}\n",
        "{\"prompt\": \"2 + 2 ?\", \"completion\": \"5\", \"label\": 0, \"note\": \"wrong\"}\n",
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"hi\"}], ",
        "\"completion\": [{\"role\": \"assistant\", \"content\": \"hello\"}], \"label\": 1}\n",
    ));
    let (rows, unused) = read_labelled(&path).unwrap();
    let found: Vec<(&str, bool, usize)> = rows
        .iter()
        .map(|row| {
            (
                row.example.completion.text.as_str(),
                row.desirable,
                row.line,
            )
        })
        .collect();
    assert_eq!(found, [("4", true, 1), ("5", false, 2), ("hello", true, 3)]);
    assert!(matches!(&rows[2].example.prompt, Prompt::Chat(turns) if turns.len() == 1));
    assert_eq!(unused.into_iter().collect::<Vec<_>>(), ["note"]);
}

#[test]
fn other_labels_and_rows_without_one_are_refused_with_their_line() {
    for (row, says) in [
        (
            "{\"prompt\": \"a\", \"completion\": \"b\"}",
            "missing field `label`",
        ),
        (
            "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": \"good\"}",
            "`label` is \"good\"",
        ),
        (
            "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": 2}",
            "`label` is 2",
        ),
        (
            "{\"prompt\": \"a\", \"label\": true}",
            "missing field `completion`",
        ),
    ] {
        let good = "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": true}";
        let (_folder, path) = file(&format!("{good}\n{row}\n"));
        let error = read_labelled(&path).unwrap_err().to_string();
        assert!(error.contains(":2") && error.contains(says), "{error}");
    }
}

#[test]
fn fine_tuning_refuses_rows_with_labels() {
    let (_folder, path) = file("{\"prompt\": \"a\", \"completion\": \"b\", \"label\": false}\n");
    let options = collimate_data::ReadOptions {
        format: Some(collimate_data::Format::PromptCompletion),
        ..Default::default()
    };
    let error = read_sft(&path, &options).unwrap_err().to_string();
    assert!(
        error.contains("`label` is false") && error.contains("kto"),
        "{error}"
    );
}
