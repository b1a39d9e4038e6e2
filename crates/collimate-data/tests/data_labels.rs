//! Columns that are read along with the pairs.

use std::fs;
use std::path::PathBuf;

use collimate_data::{OnBadRow, ReadOptions, read_labelled_pairs, read_pairs};
use tempfile::TempDir;

fn file(name: &str, text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    (folder, path)
}

const ROWS: &str = r#"{"prompt": "1", "chosen": "a", "rejected": "b", "subset": "x", "category": "c", "id": 1}
{"prompt": "2", "chosen": "a", "rejected": "a", "subset": "dropped"}
{"prompt": "3", "chosen": "a", "rejected": "b"}
{"prompt": "4", "chosen": "a", "rejected": "b", "subset": "y", "category": null}
"#;

#[test]
fn labels_stay_beside_their_pairs() {
    let (_folder, path) = file("pairs.jsonl", ROWS);
    let options = ReadOptions::default();
    let (pairs, labels, report) =
        read_labelled_pairs(&path, &options, &["subset", "category"]).unwrap();
    let (plain, mut told) = read_pairs(&path, &options).unwrap();
    // The label column counts as used here, and only here.
    assert!(told.unused.remove("subset"));
    assert_eq!((&pairs, &report), (&plain, &told));
    let labels = labels.unwrap();
    assert_eq!(labels.column, "subset");
    let values: Vec<Option<&str>> = labels.values.iter().map(Option::as_deref).collect();
    // The row with equal answers is dropped together with its label.
    assert_eq!(values, [Some("x"), None, Some("y")]);
}

#[test]
fn the_first_column_that_there_is() {
    let (_folder, path) = file("pairs.jsonl", ROWS);
    let column = |columns: &[&str]| {
        let options = ReadOptions::default();
        let (_, labels, _) = read_labelled_pairs(&path, &options, columns).unwrap();
        labels.map(|labels| (labels.column, labels.values[0].clone()))
    };
    assert_eq!(
        column(&["none", "category"]),
        Some(("category".into(), Some("c".into())))
    );
    // A number is also a label.
    assert_eq!(column(&["id"]), Some(("id".into(), Some("1".into()))));
    assert_eq!(column(&["none"]), None);
    assert_eq!(column(&[]), None);
}

#[test]
fn every_pair_of_a_row_has_its_label() {
    let row = r#"{"question": "q", "subset": "s", "answers": [{"text": "a", "pm_score": 3}, {"text": "b", "pm_score": 2}, {"text": "c", "pm_score": 1}]}"#;
    let (_folder, path) = file("votes.jsonl", row);
    let (pairs, labels, _) =
        read_labelled_pairs(&path, &ReadOptions::default(), &["subset"]).unwrap();
    assert_eq!(pairs.len(), 3);
    assert_eq!(labels.unwrap().values, vec![Some("s".to_owned()); 3]);
}

#[test]
fn a_label_that_is_none() {
    let rows = format!(
        r#"{{"prompt": "0", "chosen": "a", "rejected": "b", "subset": ["x"]}}{}"#,
        format_args!("\n{ROWS}")
    );
    let (_folder, path) = file("pairs.jsonl", &rows);
    let error = read_labelled_pairs(&path, &ReadOptions::default(), &["subset"]).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("pairs.jsonl:1: field `subset` is neither"),
        "{error}"
    );
    let options = ReadOptions {
        on_bad_row: OnBadRow::Drop,
        ..ReadOptions::default()
    };
    let (pairs, labels, report) = read_labelled_pairs(&path, &options, &["subset"]).unwrap();
    assert_eq!(
        (
            pairs.len(),
            labels.unwrap().values.len(),
            report.dropped_total()
        ),
        (3, 3, 2)
    );
}

#[test]
fn a_table_without_names_has_no_labels() {
    let (_folder, path) = file("pairs.csv", "It works.,It fails.\nbetter,worse\n");
    let (pairs, labels, _) =
        read_labelled_pairs(&path, &ReadOptions::default(), &["subset"]).unwrap();
    assert_eq!((pairs.len(), labels), (2, None));
}

#[test]
fn a_table_with_names_has_labels() {
    let text = "subset,chosen,rejected\nx,good,bad\ny,same,same\nz,better,worse\n";
    let (_folder, path) = file("pairs.csv", text);
    let (pairs, labels, report) =
        read_labelled_pairs(&path, &ReadOptions::default(), &["subset"]).unwrap();
    let values = ["x", "z"].map(|value| Some(value.to_owned()));
    assert_eq!((pairs.len(), labels.unwrap().values), (2, values.to_vec()));
    assert!(report.unused.is_empty(), "{report}");
}
