//! The columns `margin` and `weight`, and pairs of several answers.

use super::*;
use crate::common::rows;

/// Returns pairs with further columns.
fn with(columns: impl Fn(usize) -> Value) -> Vec<String> {
    let row = |(index, row): (usize, String)| {
        let mut row: Value = serde_json::from_str(&row).unwrap();
        if let Value::Object(more) = columns(index) {
            row.as_object_mut().unwrap().extend(more);
        }
        row.to_string()
    };
    rows(60).into_iter().enumerate().map(row).collect()
}

fn trained(command: &str, rows: &[String], more: &[&str]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    write_rows(&folder.path().join("pairs.jsonl"), rows);
    let model = model();
    let arguments = [
        "--data",
        "pairs.jsonl",
        "--model",
        &model,
        "--max-length",
        "48",
        "--steps",
        "3",
        "--batch",
        "8",
        "--out",
        "run",
    ];
    let output = succeed(command, folder.path(), &[&arguments[..], more].concat());
    (folder, text(&output.stderr))
}

#[test]
fn weights_change_the_loss_of_dpo_and_reward() {
    for command in ["dpo", "reward"] {
        let (plain, told) = trained(command, &with(|_| json!({})), &[]);
        assert!(!told.contains("uses the weights"), "{told}");
        // Equal weights are like no weights.
        let (equal, _) = trained(command, &with(|_| json!({"weight": 2})), &[]);
        let grads = |run: &tempfile::TempDir| logged(&run.path().join("run"), "grad_norm");
        near(&grads(&equal), &grads(&plain));
        let other = with(|index| json!({"weight": index % 3}));
        let (other, told) = trained(command, &other, &[]);
        assert!(
            told.contains("training pairs (the mean weight is"),
            "{told}"
        );
        assert_ne!(grads(&other), grads(&plain));
    }
}

#[test]
fn margins_are_used_by_reward_and_by_dpo_if_asked() {
    let rows = with(|_| json!({"margin": 2.0}));
    let (run, told) = trained("reward", &with(|_| json!({})), &[]);
    assert!(!told.contains("margins"), "{told}");
    let plain = logged(&run.path().join("run"), "loss")[0];
    let (run, told) = trained("reward", &rows, &[]);
    assert!(told.contains("The loss uses the margins of"), "{told}");
    // A margin of 2 adds 0 to 2 to the loss −log σ(d).
    let added = logged(&run.path().join("run"), "loss")[0] - plain;
    assert!((0.2..=2.0).contains(&added), "{added}");
    let (run, told) = trained("dpo", &rows, &[]);
    assert!(
        told.contains("are not used (--use-margins uses margins"),
        "{told}"
    );
    let first = logged(&run.path().join("run"), "loss")[0];
    assert!((first - std::f64::consts::LN_2).abs() < 1e-3, "{first}");
    let (run, _) = trained(
        "dpo",
        &rows,
        &["--lr", "1e-12", "--set", "align.train.eval_every=1"],
    );
    let held_out = logged(&run.path().join("run"), "eval_loss")[0];
    assert!(
        (held_out - std::f64::consts::LN_2).abs() < 1e-3,
        "{held_out}"
    );
    let (run, told) = trained("dpo", &rows, &["--use-margins"]);
    assert!(told.contains("The loss uses the margins of"), "{told}");
    let first = logged(&run.path().join("run"), "loss")[0];
    assert!((first - 2.1269).abs() < 1e-3, "{first}");
    let folder = tempfile::tempdir().unwrap();
    write_rows(&folder.path().join("pairs.jsonl"), &rows);
    let model = model();
    let arguments = [
        "--data",
        "pairs.jsonl",
        "--model",
        &model,
        "--use-margins",
        "--loss",
        "ipo",
    ];
    let output = run_in(folder.path(), &arguments);
    assert!(
        output.contains("takes no margins (dpo, simpo and slic_hf do)"),
        "{output}"
    );
}

fn run_in(folder: &Path, arguments: &[&str]) -> String {
    let output = run("dpo", folder, arguments);
    assert!(!output.status.success());
    text(&output.stderr)
}

#[test]
fn score_and_convert_keep_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_rows(
        &path.join("pairs.jsonl"),
        &with(|index| json!({"margin": 0.5, "weight": index})),
    );
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
    succeed("score", path, &arguments);
    let scored = json_lines(&path.join("out.jsonl"));
    assert_eq!(
        (&scored[3]["margin"], &scored[3]["weight"]),
        (&json!(0.5), &json!(3.0))
    );
    assert!(scored[3]["chosen_logps"].is_number());
    succeed(
        "data",
        path,
        &["convert", "pairs.jsonl", "--out", "trl.jsonl"],
    );
    let converted = json_lines(&path.join("trl.jsonl"));
    assert_eq!(
        (&converted[3]["margin"], &converted[3]["weight"]),
        (&json!(0.5), &json!(3.0))
    );
    let checked = succeed("data", path, &["check", "pairs.jsonl", "--json"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let file = &checked["files"][0];
    assert_eq!(
        (&file["with_margins"], &file["with_weights"]),
        (&json!(60), &json!(60))
    );
}

#[test]
fn several_answers_give_all_pairs_or_the_best_and_the_worst() {
    let row = |index: usize| {
        json!({
            "prompt": format!("question {index} ?"),
            "responses": ["yes .", "no .", format!("perhaps {index} .")],
            "scores": [3, 1, 2],
        })
        .to_string()
    };
    let rows: Vec<String> = (0..40).map(row).collect();
    let (_, told) = trained("dpo", &rows, &[]);
    assert!(told.contains("120 kept"), "{told}");
    let (_, told) = trained("dpo", &rows, &["--answer-pairs", "best_worst"]);
    assert!(told.contains("40 kept"), "{told}");
}

#[test]
fn a_weight_of_a_file_is_a_weight_of_its_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let all = rows(60);
    write_rows(&path.join("a.jsonl"), &all[..30]);
    fs::create_dir(path.join("b")).unwrap();
    write_rows(&path.join("b/train-0.jsonl"), &all[30..45]);
    write_rows(&path.join("b/train-1.jsonl"), &all[45..]);
    let weight = |index: usize| if index < 30 { 1.0 } else { 0.25 };
    let (in_rows, _) = trained("dpo", &with(|index| json!({"weight": weight(index)})), &[]);
    let expected = logged(&in_rows.path().join("run"), "grad_norm");
    let model = model();
    for (out, more) in [("memory", &[][..]), ("disk", &["--token-store", "store"])] {
        let arguments = [
            "--data",
            "a.jsonl",
            "--data",
            "b",
            "--data-weights",
            "1,0.25",
            "--model",
            &model,
            "--max-length",
            "48",
            "--steps",
            "3",
            "--batch",
            "8",
            "--out",
            out,
        ];
        succeed("dpo", path, &[&arguments[..], more].concat());
        near(&logged(&path.join(out), "grad_norm"), &expected);
    }
    let two = [
        "--data",
        "a.jsonl",
        "--data",
        "b",
        "--model",
        &model,
        "--data-weights",
    ];
    let said = |weights: &str| run_in(path, &[&two[..], &[weights]].concat());
    assert!(said("1").contains("1 weights in --data-weights for 2 times --data"));
    assert!(said("1,-1").contains("must be above 0"));
}
