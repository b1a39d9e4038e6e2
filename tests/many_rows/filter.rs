//! `data filter`: the pairs that SER's filters and SeRA's margins keep.

use super::*;

/// Writes pairs with scores, and returns the scores.
fn scored(path: &Path, count: usize) -> Vec<(f64, f64)> {
    let score = |index: usize, turn: usize| {
        let draw = (index * 7919 + turn * 104_729) % 1000;
        draw as f64 / 100.0 - 5.0
    };
    let rows = (0..count).map(|index| {
        let scores = (score(index, 1), score(index, 2));
        let row = json!({
            "prompt": format!("question {index} ?"), "chosen": format!("first {index}"),
            "rejected": format!("second {index}"), "chosen_score": scores.0,
            "rejected_score": scores.1,
        });
        (row.to_string(), scores)
    });
    let (rows, scores): (Vec<String>, Vec<_>) = rows.unzip();
    write_rows(path, &rows);
    scores
}

fn filter(folder: &Path, arguments: &[&str]) -> (Vec<Value>, String) {
    let all = [
        &["filter", "scored.jsonl", "--out", "kept.jsonl", "--force"],
        arguments,
    ]
    .concat();
    let output = succeed("data", folder, &all);
    (json_lines(&folder.join("kept.jsonl")), text(&output.stderr))
}

/// Returns the index of the pair in a kept row.
fn index(row: &Value) -> usize {
    let prompt = row["prompt"].as_str().unwrap();
    prompt.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_largest_margins_are_kept_in_the_order_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let scores = scored(&folder.path().join("scored.jsonl"), 200);
    let mut order: Vec<usize> = (0..200).collect();
    let margin = |index: usize| {
        let (chosen, rejected) = (scores[index].0 as f32, scores[index].1 as f32);
        f64::from(chosen) - f64::from(rejected)
    };
    order.sort_by(|a, b| margin(*b).total_cmp(&margin(*a)).then(a.cmp(b)));
    let mut expected = order[..50].to_vec();
    expected.sort_unstable();
    for keep in ["0.25", "50"] {
        let (kept, told) = filter(folder.path(), &["--rule", "margin", "--keep", keep]);
        assert_eq!(kept.iter().map(index).collect::<Vec<_>>(), expected);
        assert!(
            told.contains("wrote 50 pairs to kept.jsonl (0 with exchanged"),
            "{told}"
        );
        assert!(
            told.contains("left out 150 pairs (over the limit: 150)"),
            "{told}"
        );
        let score = kept[0]["filter_score"].as_f64().unwrap();
        assert!((score - margin(expected[0])).abs() < 1e-9);
    }
    let (a, _) = filter(folder.path(), &["--rule", "random", "--keep", "20"]);
    let (b, _) = filter(
        folder.path(),
        &["--rule", "random", "--keep", "20", "--seed", "1"],
    );
    assert!(a.len() == 20 && b.len() == 20 && a != b);
    let (middle, _) = filter(folder.path(), &["--rule", "middle", "--keep", "20"]);
    let mut sorted: Vec<f64> = (0..200).map(margin).collect();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[99].midpoint(sorted[100]);
    let far = |index: usize| (margin(index) - median).abs();
    order.sort_by(|a, b| far(*a).total_cmp(&far(*b)).then(a.cmp(b)));
    let mut expected = order[..20].to_vec();
    expected.sort_unstable();
    assert_eq!(middle.iter().map(index).collect::<Vec<_>>(), expected);
}

/// Status 1 of the paper: p = σ(score), one answer above 0.55 and the other below 0.45.
#[test]
fn the_learning_status_labels_the_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let scores = scored(&folder.path().join("scored.jsonl"), 300);
    let (kept, told) = filter(folder.path(), &["--rule", "status"]);
    assert!(told.contains("status easy"), "{told}");
    let p = |score: f64| 1.0 / (1.0 + (-f64::from(score as f32)).exp());
    let easy = |(a, b): &(f64, f64)| p(a.max(*b)) > 0.55 && p(a.min(*b)) < 0.45;
    let expected: Vec<usize> = (0..300).filter(|index| easy(&scores[*index])).collect();
    assert_eq!(kept.iter().map(index).collect::<Vec<_>>(), expected);
    for row in &kept {
        let index = index(row);
        let (first, second) = scores[index];
        let chosen = if second > first { "second" } else { "first" };
        assert_eq!(row["chosen"], format!("{chosen} {index}"));
        assert!(row["chosen_score"].as_f64() > row["rejected_score"].as_f64());
    }
    let (none, told) = filter(folder.path(), &["--rule", "status", "--centre", "-40"]);
    assert!(
        none.is_empty() && told.contains("status converged"),
        "{told}"
    );
}

#[test]
fn the_calibrated_filter_learns_from_labelled_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let scores = scored(&folder.path().join("scored.jsonl"), 400);
    // Of these labels 3 in 4 are right, at a gap of 4.
    let labelled: Vec<String> = (0..400)
        .map(|index| {
            let gap = if index % 4 == 0 { -4.0 } else { 4.0 };
            json!({"chosen_score": gap, "rejected_score": 0.0}).to_string()
        })
        .collect();
    write_rows(&folder.path().join("labelled.jsonl"), &labelled);
    let arguments = [
        "--rule",
        "calibrated",
        "--labelled",
        "labelled.jsonl",
        "--precision",
        "0.8",
    ];
    let (kept, told) = filter(folder.path(), &arguments);
    assert!(told.contains("400 labelled pairs, slope 0.27"), "{told}");
    // σ(a·gap) ≥ 0.8 from gap = ln 4 / a; a is about ln 3 / 4.
    assert!(kept.len() > 40);
    assert!(
        kept.iter()
            .all(|row| row["filter_score"].as_f64().unwrap() >= 0.8)
    );
    let least = (0..400)
        .filter(|i| (scores[*i].0 - scores[*i].1).abs() > 5.0)
        .count();
    assert!(kept.len() <= least, "{} of {least}", kept.len());
}

#[test]
fn a_reference_makes_margins_of_log_ratios() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let rows = |own: &dyn Fn(usize) -> (f64, f64)| -> Vec<String> {
        let row = |index: usize| {
            let (chosen, rejected) = own(index);
            json!({
                "prompt": format!("question {index} ?"), "chosen": "a", "rejected": "b",
                "chosen_logps": chosen, "rejected_logps": rejected, "chosen_tokens": 2,
                "rejected_tokens": 3,
            })
            .to_string()
        };
        (0..10).map(row).collect()
    };
    write_rows(
        &path.join("scored.jsonl"),
        &rows(&|i| (-1.0, -2.0 - i as f64)),
    );
    write_rows(
        &path.join("reference.jsonl"),
        &rows(&|i| (-1.0, -2.0 - 2.0 * i as f64)),
    );
    let arguments = ["--rule", "largest", "--keep", "3"];
    let (kept, _) = filter(path, &arguments);
    assert_eq!(kept.iter().map(index).collect::<Vec<_>>(), [7, 8, 9]);
    let with = [&arguments[..], &["--reference", "reference.jsonl"]].concat();
    let (kept, _) = filter(path, &with);
    assert_eq!(kept.iter().map(index).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(kept[2]["filter_score"], -2.0);
    // The same rows in another order are other pairs.
    let text_of = fs::read_to_string(path.join("reference.jsonl")).unwrap();
    let mut lines: Vec<String> = text_of.lines().map(str::to_owned).collect();
    lines.swap(4, 5);
    write_rows(&path.join("reference.jsonl"), &lines);
    let all = [
        &["filter", "scored.jsonl", "--out", "other.jsonl"],
        &with[..],
    ]
    .concat();
    let output = run("data", path, &all);
    let told = text(&output.stderr);
    assert!(
        told.contains("reference.jsonl:5: another pair than in the first file"),
        "{told}"
    );
    assert!(!path.join("other.jsonl").exists());
}

#[test]
fn rows_that_stay_keep_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let row = r#"{"id": 12345678901234567890123, "chosen": "a", "rejected": "b", "chosen_score": 2.8903756141662598, "rejected_score": 1}"#;
    write_rows(&folder.path().join("scored.jsonl"), &[row.to_owned()]);
    let all = [
        "filter",
        "scored.jsonl",
        "--rule",
        "largest",
        "--keep",
        "1",
        "--out",
        "k.jsonl",
    ];
    succeed("data", folder.path(), &all);
    let kept = fs::read_to_string(folder.path().join("k.jsonl")).unwrap();
    let start = row.strip_suffix('}').unwrap();
    assert!(kept.starts_with(start), "{kept}");
    assert!(json_lines(&folder.path().join("k.jsonl"))[0]["filter_score"].is_number());
}

#[test]
fn wrong_files_and_options_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    scored(&path.join("scored.jsonl"), 10);
    write_rows(
        &path.join("plain.jsonl"),
        &[r#"{"chosen": "a", "rejected": "b"}"#.to_owned()],
    );
    write_rows(&path.join("broken.jsonl"), &[r#"{"chosen": "#.to_owned()]);
    fs::write(path.join("empty.jsonl"), "").unwrap();
    fs::write(path.join("packed.jsonl.gz"), b"\x1f\x8b\x08\x00").unwrap();
    for (arguments, says) in [
        (&["scored.jsonl", "--rule", "largest"][..], "need --keep"),
        (
            &["scored.jsonl", "--rule", "status", "--keep", "3"],
            "--keep is for",
        ),
        (
            &["scored.jsonl", "--rule", "largest", "--keep", "-1"],
            "above 0",
        ),
        (&["scored.jsonl", "--rule", "calibrated"], "--labelled"),
        (
            &["scored.jsonl", "--rule", "status", "--seed", "1"],
            "--seed is only for --rule random",
        ),
        (
            &["plain.jsonl", "--rule", "status"],
            "plain.jsonl:1: the pair has no scores, or a value is null",
        ),
        (
            &["broken.jsonl", "--rule", "status"],
            "broken.jsonl:1: column ",
        ),
        (
            &["packed.jsonl.gz", "--rule", "status"],
            "is packed or a Parquet file",
        ),
        (
            &["empty.jsonl", "--rule", "status"],
            "empty.jsonl: the file has no row",
        ),
        (&["none.jsonl", "--rule", "status"], "none.jsonl: "),
        (
            &[
                "scored.jsonl",
                "--rule",
                "largest",
                "--keep",
                "2",
                "--reference",
                "plain.jsonl",
            ],
            "scored.jsonl:1: the pair has no log-probabilities, or a value is null",
        ),
    ] {
        let all = [&["filter"], arguments, &["--out", "kept.jsonl"]].concat();
        let output = run("data", path, &all);
        let told = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(told.contains(says), "{arguments:?}: {told}");
        assert!(!told.contains("panicked"), "{told}");
        assert!(!path.join("kept.jsonl").exists());
    }
}
