//! Files and models that cannot be used.

use super::*;

#[test]
fn wrong_files_and_models_are_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("empty.jsonl", b"");
    write("binary.bin", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01");
    write(
        "label.jsonl",
        b"{\"prompt\": \"q\", \"completion\": \"a\", \"label\": \"good\"}\n",
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
        refused(
            folder.path(),
            &with("label.jsonl"),
            &["label.jsonl:1", "true (good) or false (bad)"],
        );
        // The command check reads all files of a folder.
        match command {
            ["check"] => refused(folder.path(), &with("."), &["empty.jsonl", "is empty"]),
            _ => refused(folder.path(), &with("."), &["folder", "name a file"]),
        }
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
