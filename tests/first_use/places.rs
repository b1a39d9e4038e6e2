//! Output paths that cannot be written, and models that write nothing.

use super::*;

#[cfg(target_os = "linux")]
#[test]
fn a_place_that_cannot_be_written_is_told_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &common::rows(4));
    let (reward, writer) = (fixture("llama-reward").display().to_string(), model());
    // No user can create a file in this folder.
    let score = [
        "--model",
        &reward,
        "--data",
        "pairs.jsonl",
        "--out",
        "/proc/out",
    ];
    refused(
        "score",
        folder,
        &score,
        &["--out /proc/out", "cannot be written"],
    );
    let generate = ["--model", &writer, "--prompt", "x", "--out", "/proc/out"];
    refused(
        "generate",
        folder,
        &generate,
        &["--out /proc/out", "cannot be written"],
    );
    let pairs = [&["pairs"], &score[..]].concat();
    refused(
        "eval",
        folder,
        &pairs,
        &["--out /proc/out", "cannot be written"],
    );
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "left something");
}

#[test]
fn a_run_tells_the_disk_that_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &common::rows(30));
    let model = model();
    let fixed = [
        "--data",
        "pairs.jsonl",
        "--model",
        &model,
        "--max-length",
        "48",
    ];
    let arguments = [&fixed[..], &["--steps", "1", "--out", "run"]].concat();
    let told = text(&succeed("dpo", folder, &arguments).stderr);
    let line = told.lines().find(|line| line.starts_with("disk: about "));
    assert!(
        line.is_some_and(|line| line.ends_with("GB are free")),
        "{told}"
    );
}

#[test]
fn an_empty_answer_of_a_model_without_template_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = fixture("llama-gqa-tied").display().to_string();
    let greedy = [
        "--model",
        &model,
        "--prompt",
        "the cat",
        "--temperature",
        "0",
    ];
    let output = succeed("generate", folder, &greedy);
    let hint = "the model has no chat template and only completes text";
    let written = text(&output.stdout);
    let first = written.trim_start().chars().next().unwrap().to_string();
    assert!(!text(&output.stderr).contains(hint), "{output:?}");
    // The first letter of the answer ends it.
    let arguments = [&greedy[..], &["--stop", &first]].concat();
    let told = text(&succeed("generate", folder, &arguments).stderr);
    assert_eq!(told.matches(hint).count(), 1, "{told}");
}
