//! Rows and files that are refused because of their size, their depth, a repeated key, or
//! a part that the program was built without.

use std::io::Write;
use std::path::PathBuf;

use collimate_data::{DropReason, OnBadRow, ReadOptions, read_pairs};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

fn file(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_data_that_expand_absurdly_are_refused() {
    let dir = TempDir::new().unwrap();
    let row = br#"{"prompt": "a?", "chosen": "b", "rejected": "c"}"#;
    let bomb = [&row[..], b"\n", &vec![b' '; 80 << 20]].concat();
    let path = file(&dir, "bomb.jsonl.gz", &gz(&bomb));
    let error = read_pairs(&path, &ReadOptions::default()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("unpack to more than 200 times their size"),
        "{error}"
    );
    // The same length of other bytes is fine.
    let row = [&row[..], b"\n"].concat();
    let many = row.repeat((1 << 20) / row.len());
    let path = file(&dir, "many.jsonl.gz", &gz(&many));
    assert!(read_pairs(&path, &ReadOptions::default()).is_ok());
}

#[test]
fn absurdly_nested_rows_are_bad_rows() {
    let dir = TempDir::new().unwrap();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let row = format!("{{\"prompt\": {deep}, \"chosen\": \"b\", \"rejected\": \"c\"}}\n");
    let rows = format!("{{\"prompt\": \"a?\", \"chosen\": \"b\", \"rejected\": \"c\"}}\n{row}");
    let path = file(&dir, "deep.jsonl", rows.as_bytes());
    let error = read_pairs(&path, &ReadOptions::default()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("deep.jsonl:2: not valid JSON"), "{error}");
    assert!(error.contains("(recursion limit exceeded)"), "{error}");
}

#[test]
fn a_key_that_occurs_twice_is_a_bad_row() {
    let dir = TempDir::new().unwrap();
    let rows = r#"{"prompt": "a?", "chosen": "b", "rejected": "c"}
{"prompt": "a?", "chosen": "b", "rejected": "c", "chosen": "d"}
{"prompt": [{"role": "user", "content": "a?", "content": "b?"}], "chosen": [], "rejected": []}"#;
    let path = file(&dir, "twice.jsonl", rows.as_bytes());
    let error = read_pairs(&path, &ReadOptions::default()).unwrap_err();
    let words = "twice.jsonl:2: not valid JSON at column 63 (the key `chosen` occurs twice)";
    assert!(error.to_string().contains(words), "{error}");
    let options = ReadOptions {
        on_bad_row: OnBadRow::Drop,
        ..ReadOptions::default()
    };
    let (pairs, report) = read_pairs(&path, &options).unwrap();
    assert_eq!(
        (pairs.len(), report.dropped_for(DropReason::Malformed)),
        (1, 2)
    );
}

#[test]
#[cfg(not(feature = "parquet"))]
fn a_program_without_parquet_says_so() {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "rows.parquet", b"PAR1 and more");
    let error = read_pairs(&path, &ReadOptions::default()).unwrap_err();
    let error = error.to_string();
    for words in [
        "rows.parquet: a Parquet file, and this program was built without Parquet",
        "`read_parquet(FILE).to_json",
    ] {
        assert!(error.contains(words), "{error}");
    }
}
