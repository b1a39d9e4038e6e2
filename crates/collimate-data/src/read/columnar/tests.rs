//! Values of all kinds, and lists of both encodings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::*;

fn rows(path: &Path) -> Vec<Value> {
    let table = Table::open(path, File::open(path).unwrap()).unwrap();
    let mut rows = table.rows();
    let mut all = Vec::new();
    while let Some((number, row)) = rows.next_row().unwrap() {
        all.push(Value::Object(row.unwrap()));
        assert_eq!(number, all.len());
    }
    all
}

#[test]
fn values_are_those_of_json() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parquet");
    let expected = [
        json!({
            "prompt": "a?", "flag": true, "small": -128, "large": u64::MAX, "unsigned": u32::MAX,
            "half": 1.5, "single": 0.5, "double": 0.1, "price": 12.345, "tiny": 1.5, "day": 19782,
            "time": 1_709_208_000_000_000_i64, "category": "a", "nothing": null, "bytes": "text",
            "nested": [[["a", null], []], null], "turns": [{"role": "user", "content": null}, null],
            "map": [{"key": "k", "value": 1}],
            "inner": {"list": [1, null], "struct": {"x": null}},
        }),
        json!({
            "prompt": "b?", "flag": false, "small": 127, "large": 0, "unsigned": 0, "half": -0.25,
            "single": null, "double": "Infinity", "price": -0.001, "tiny": -9.9, "day": null,
            "time": null, "category": "b", "nothing": null, "bytes": {"bytes": 2}, "nested": [],
            "turns": null, "map": [], "inner": {"list": null, "struct": null},
        }),
        json!({
            "prompt": "c?", "flag": null, "small": null, "large": null, "unsigned": null,
            "half": null, "single": null, "double": "-Infinity", "price": null, "tiny": null,
            "day": 19782, "time": null, "category": "a", "nothing": null, "bytes": null,
            "nested": null, "turns": [], "map": null, "inner": null,
        }),
    ];
    assert_eq!(rows(&folder.join("values.parquet")), expected);
    // Here the point of time is in milliseconds.
    let mut expected = expected;
    expected[0]["time"] = json!(1_709_208_000_000_i64);
    assert_eq!(rows(&folder.join("values_two_level.parquet")), expected);
}

/// Writes columns of texts, each with its values, definition levels and repetition levels.
fn write(path: &Path, schema: &str, columns: &[(&[&str], &[i16], &[i16])]) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (values, defined, repetition) in columns {
        let mut column = group.next_column().unwrap().unwrap();
        let values: Vec<ByteArray> = values.iter().map(|&text| text.into()).collect();
        let typed = column.typed::<ByteArrayType>();
        typed
            .write_batch(&values, Some(defined), Some(repetition))
            .unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn lists_of_two_levels_and_of_none_are_lists() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("lists.parquet");
    let schema = "message root {
        optional group turns (LIST) {
            repeated group array { required binary role (UTF8); optional binary content (UTF8); }
        }
        required group texts (LIST) { repeated binary text (UTF8); }
        repeated binary bare (UTF8);
        optional group one (LIST) { repeated group one_tuple { required binary x (UTF8); } }
        required group more (LIST) { repeated group list { optional binary element (UTF8); } }
    }";
    write(
        &path,
        schema,
        &[
            (&["user", "assistant"], &[2, 2, 0, 1], &[0, 1, 0, 0]),
            (&["a?"], &[3, 2, 0, 1], &[0, 1, 0, 0]),
            (&["x", "y", "z"], &[1, 1, 0, 1], &[0, 1, 0, 0]),
            (&["b"], &[0, 1, 0], &[0, 0, 0]),
            (&["in"], &[2, 1, 0], &[0, 0, 0]),
            (&["e"], &[2, 1, 0, 0], &[0, 1, 0, 0]),
        ],
    );
    let expected = [
        json!({
            "turns": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": null}],
            "texts": ["x", "y"], "bare": [], "one": [{"x": "in"}], "more": ["e", null],
        }),
        json!({"turns": null, "texts": [], "bare": ["b"], "one": [], "more": []}),
        json!({"turns": [], "texts": ["z"], "bare": [], "one": null, "more": []}),
    ];
    assert_eq!(rows(&path), expected);
}

/// The columns agree again after the first row, in which one of them has a value too few.
#[test]
fn a_value_of_the_next_row_is_not_taken() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("early.parquet");
    let schema = "message root {
        required group turns (LIST) {
            repeated group list { required binary role (UTF8); required binary content (UTF8); }
        }
    }";
    write(
        &path,
        schema,
        &[
            (&["a", "b", "c", "d"], &[1; 4], &[0, 1, 0, 0]),
            (&["a", "b", "c"], &[1; 3], &[0, 0, 0]),
        ],
    );
    let table = Table::open(&path, File::open(&path).unwrap()).unwrap();
    let error = table.rows().next_row().unwrap_err().to_string();
    assert!(
        error.contains("`turns.list.content`: it has fewer values"),
        "{error}"
    );
}

#[test]
fn columns_that_contradict_each_other_are_damage() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("contrary.parquet");
    let schema = "message root {
        required group turns (LIST) {
            repeated group list { required binary role (UTF8); required binary content (UTF8); }
        }
    }";
    let two: (&[&str], &[i16], &[i16]) = (&["a", "b"], &[1, 1], &[0, 1]);
    let one: (&[&str], &[i16], &[i16]) = (&["a"], &[1], &[0]);
    let none: (&[&str], &[i16], &[i16]) = (&[], &[0], &[0]);
    // The second value belongs to the first row, or to the second one.
    let first: (&[&str], &[i16], &[i16]) = (&["a", "b", "c"], &[1; 3], &[0, 1, 0]);
    let second: (&[&str], &[i16], &[i16]) = (&["a", "b", "c"], &[1; 3], &[0, 0, 1]);
    for columns in [
        [two, one],
        [one, two],
        [none, one],
        [one, none],
        [first, second],
        [second, first],
    ] {
        write(&path, schema, &columns);
        let table = Table::open(&path, File::open(&path).unwrap()).unwrap();
        let mut rows = table.rows();
        let error = loop {
            match rows.next_row() {
                Ok(Some((_, row))) => drop(row),
                Ok(None) => panic!("no error"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(
            error.contains("row group 1, column `turns.list."),
            "{error}"
        );
        assert!(error.contains("`: it"), "{error}");
    }
}
