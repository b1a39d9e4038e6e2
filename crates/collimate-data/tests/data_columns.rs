//! Columns that are not read, and columns read in place of others, are named and never ignored.

use std::io::Write;
use std::path::{Path, PathBuf};

use collimate_core::PreferencePair;
use collimate_data::{
    DataError, DropReason, Format, OnBadRow, ReadOptions, ReadReport, read_pairs, read_sft,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

fn file(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gz(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn named(format: Format) -> ReadOptions {
    ReadOptions {
        format: Some(format),
        ..ReadOptions::default()
    }
}

fn dropping() -> ReadOptions {
    ReadOptions {
        on_bad_row: OnBadRow::Drop,
        ..ReadOptions::default()
    }
}

fn read(path: &Path) -> (Vec<PreferencePair>, ReadReport) {
    read_pairs(path, &ReadOptions::default()).unwrap()
}

fn error(path: &Path, options: &ReadOptions) -> String {
    read_pairs(path, options).unwrap_err().to_string()
}

#[test]
fn a_margin_is_reported_whichever_row_has_it() {
    let dir = TempDir::new().unwrap();
    let plain = r#"{"prompt":"p","chosen":"a","rejected":"b","margin":null}"#;
    let rows = [
        r#"{"prompt":"q","chosen":"a","rejected":"b","margin":0.5}"#,
        r#"{"prompt":"q","chosen":"a","rejected":"a","margin":0.5}"#,
        r#"{"prompt":"q","chosen":"a","rejected":"b","score_chosen":2,"score_rejected":1,"margin":1}"#,
    ];
    for row in rows {
        let (_, report) = read(&file(
            &dir,
            "t.jsonl",
            format!("{plain}\n{row}\n{plain}\n{row}"),
        ));
        assert!(report.unused.iter().eq(["margin"]), "{row}");
        let line = report.to_string();
        assert!(line.ends_with("; column `margin` not used"), "{line}");
    }
    let uf = r#"{"prompt":"p","chosen":"a","rejected":"b","margin":1,"metadata":{"score_chosen":2,"score_rejected":1}}"#;
    let hh = r#"{"chosen":"\n\nHuman: a?\n\nAssistant: x","rejected":"\n\nHuman: a?\n\nAssistant: y","margin":1}"#;
    for (row, format) in [(uf, Format::UltraFeedback), (hh, Format::HhRlhf)] {
        let (_, report) = read(&file(&dir, "t.jsonl", row));
        assert_eq!(report.format, format);
        assert!(report.unused.contains("margin"), "{format}");
    }
    let (_, report) = read(&file(&dir, "t.jsonl", plain));
    assert!(report.unused.is_empty());
    assert!(!report.to_string().contains("not used"));
}

#[test]
fn a_report_is_serialised_with_the_unused_columns_if_there_are_any() {
    let dir = TempDir::new().unwrap();
    let without = r#"{"prompt":"p","chosen":"a","rejected":"b"}"#;
    let with = r#"{"prompt":"p","chosen":"a","rejected":"b","margin":2}"#;
    for (row, json) in [(without, None), (with, Some(r#"["margin"]"#))] {
        let (_, report) = read(&file(&dir, "t.jsonl", row));
        let value = serde_json::to_value(&report).unwrap();
        let unused = value.get("unused").map(ToString::to_string);
        assert_eq!(unused.as_deref(), json);
        assert_eq!(serde_json::from_value::<ReadReport>(value).unwrap(), report);
    }
}

#[test]
fn an_array_says_how_to_make_lines_of_it() {
    let dir = TempDir::new().unwrap();
    let compact = r#"[{"prompt":"p","chosen":"a","rejected":"b"}]"#.to_owned();
    let pretty = "\n  [\n  {\n    \"prompt\": \"p\",\n    \"chosen\": \"a\"\n  }\n]\n".to_owned();
    for text in [compact, pretty, "[\n".to_owned(), "\u{feff}[]".to_owned()] {
        for options in [ReadOptions::default(), named(Format::Trl), dropping()] {
            let plain = error(&file(&dir, "a.json", &text), &options);
            assert!(plain.contains("a.json: a JSON array"), "{plain}");
            assert!(plain.contains("one object per line"), "{plain}");
            assert!(plain.ends_with("by `jq -c '.[]' FILE`"), "{plain}");
            let packed = error(&file(&dir, "a.json.gz", gz(&text)), &options);
            assert!(
                packed.ends_with("by `gunzip -c FILE | jq -c '.[]'`"),
                "{packed}"
            );
        }
        let path = file(&dir, "a.json", &text);
        let sft = read_sft(&path, &named(Format::Messages)).unwrap_err();
        assert!(sft.to_string().contains("jq -c"), "{sft}");
        assert!(matches!(
            Format::detect(&path),
            Err(DataError::Format { .. })
        ));
    }
    let (pairs, _) = read(&file(&dir, "a.csv", "[1],[2]\n"));
    assert_eq!(pairs[0].chosen.text, "[1]");
}

#[test]
fn a_csv_header_names_the_columns_in_any_order() {
    let dir = TempDir::new().unwrap();
    let pair = PreferencePair::new("q, of course", "good", "bad");
    for text in [
        "prompt,chosen,rejected\n\"q, of course\",good,bad\n",
        "rejected,prompt,chosen\r\nbad,\"q, of course\",good\r\n",
        "\u{feff}\n\"chosen\",rejected,prompt\ngood,bad,\"q, of course\"",
    ] {
        let path = file(&dir, "t.csv", text);
        for options in [ReadOptions::default(), named(Format::TwoColumnCsv)] {
            let (pairs, report) = read_pairs(&path, &options).unwrap();
            assert_eq!(pairs, std::slice::from_ref(&pair), "{text}");
            assert_eq!(report.dropped_for(DropReason::Header), 1);
            assert_eq!((report.rows, report.kept), (2, 1));
        }
    }
    let (pairs, _) = read(&file(&dir, "t.csv", "rejected,chosen\nbad,good\n"));
    assert_eq!(pairs, [PreferencePair::new("", "good", "bad")]);
}

#[test]
fn a_csv_with_other_columns_says_which_are_read() {
    let dir = TempDir::new().unwrap();
    let without = error(
        &file(&dir, "t.csv", "why so,a,b\nq,a,b\n"),
        &ReadOptions::default(),
    );
    assert!(
        without.contains("t.csv:1: 3 columns, expected 2"),
        "{without}"
    );
    assert!(without.contains("header `prompt,chosen,rejected`"));
    assert!(without.contains("quote texts that contain commas"));
    let text = "prompt,chosen,rejected\nq,a,b\nq,a\nq,a, or so,b\n";
    let path = file(&dir, "t.csv", text);
    let with = error(&path, &ReadOptions::default());
    assert!(
        with.contains("t.csv:3: 2 columns, expected 3 as in the header"),
        "{with}"
    );
    let (pairs, report) = read_pairs(&path, &dropping()).unwrap();
    assert_eq!(
        (pairs.len(), report.dropped_for(DropReason::Malformed)),
        (1, 2)
    );
}

#[test]
fn rows_without_comparison_say_what_to_give() {
    let dir = TempDir::new().unwrap();
    let rows = [
        r#"{"prompt":"p","completion":"c"}"#,
        r#"{"messages":[{"role":"user","content":"a"}]}"#,
    ];
    for row in rows {
        let error = error(&file(&dir, "t.jsonl", row), &ReadOptions::default());
        for part in [
            "rows hold no comparison",
            "give rows with `chosen` and `rejected`",
            "(library: `read_sft` reads these rows)",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
