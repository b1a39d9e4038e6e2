//! `score` reads and writes row by row.

use super::*;
use crate::common::rows;

#[test]
fn a_bad_row_late_in_the_file_leaves_what_is_scored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut all = rows(1100);
    all.push("{\"chosen\": 3}".to_owned());
    write_rows(&path.join("pairs.jsonl"), &all);
    let model = model();
    let arguments = [
        "--logprobs",
        "--model",
        &model,
        "--data",
        "pairs.jsonl",
        "--out",
        "out.jsonl",
    ];
    let output = run("score", path, &arguments);
    let told = text(&output.stderr);
    assert!(!output.status.success());
    assert!(told.contains("pairs.jsonl:1101: "), "{told}");
    let says = "the 1024 rows before are in out.jsonl.partial";
    assert!(told.contains(says), "{told}");
    assert_eq!(json_lines(&path.join("out.jsonl.partial")).len(), 1024);
    assert!(!path.join("out.jsonl").exists());
    // A bad row in the first part leaves nothing.
    write_rows(&path.join("bad.jsonl"), &all[1095..]);
    let arguments = [
        "--logprobs",
        "--model",
        &model,
        "--data",
        "bad.jsonl",
        "--out",
        "none.jsonl",
    ];
    assert!(!run("score", path, &arguments).status.success());
    assert!(!path.join("none.jsonl").exists());
}

#[cfg(unix)]
#[test]
fn devices_are_refused_as_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_rows(&path.join("pairs.jsonl"), &rows(10));
    let model = model();
    let arguments = [
        "--logprobs",
        "--model",
        &model,
        "--data",
        "pairs.jsonl",
        "--out",
        "/dev/null",
    ];
    let output = run("score", path, &arguments);
    let told = text(&output.stderr);
    assert!(
        !output.status.success() && told.contains("a device or a pipe"),
        "{told}"
    );
    let output = run(
        "data",
        path,
        &["convert", "pairs.jsonl", "--out", "pairs.jsonl", "--force"],
    );
    let told = text(&output.stderr);
    assert!(
        !output.status.success() && told.contains("is also an input file"),
        "{told}"
    );
}
