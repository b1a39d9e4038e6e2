//! Files of a dataset: folders with splits, cards and patterns.

use std::path::{Path, PathBuf};

use collimate_data::{
    DataError, DataPart, Format, ReadOptions, data_files, read_pairs, read_pairs_of,
};
use tempfile::TempDir;

const ROW: &str = "{\"prompt\": \"a?\", \"chosen\": \"b\", \"rejected\": \"c\"}\n";

fn folder(files: &[&str]) -> TempDir {
    let dir = TempDir::new().unwrap();
    files.iter().for_each(|name| write(&dir, name, ROW));
    dir
}

fn write(dir: &TempDir, name: &str, text: &str) {
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Names of the files of a split inside the folder.
#[track_caller]
fn split(dir: &TempDir, name: Option<&str>) -> Vec<String> {
    let part = DataPart {
        split: name,
        ..DataPart::default()
    };
    names(dir.path(), data_files(dir.path(), part).unwrap())
}

fn names(dir: &Path, files: Vec<PathBuf>) -> Vec<String> {
    let name = |file: &PathBuf| file.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
    files.iter().map(name).collect()
}

#[track_caller]
fn refused(path: &Path, part: DataPart<'_>, words: &str) {
    let error = data_files(path, part).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn splits_follow_from_the_names_of_files_and_folders() {
    let dir = folder(&[
        "data/train_prefs-00000-of-00002.jsonl",
        "data/train_prefs-00001-of-00002.jsonl",
        "data/test_prefs-00000-of-00001-0123456789abcdef.jsonl",
        "README.md",
        ".hidden/train.jsonl",
        "dataset_infos.json",
    ]);
    assert_eq!(
        split(&dir, Some("train_prefs")),
        [
            "data/train_prefs-00000-of-00002.jsonl",
            "data/train_prefs-00001-of-00002.jsonl"
        ]
    );
    refused(
        dir.path(),
        DataPart::default(),
        "several splits: choose one of `test_prefs` (1 file), `train_prefs` (2 files)",
    );
    refused(
        dir.path(),
        DataPart::split("train"),
        "no split `train`: the folder has `test_prefs`",
    );

    let dir = folder(&[
        "preference/train.jsonl.gz",
        "preference/validation.jsonl.gz",
        "my-dev_3.json",
    ]);
    assert_eq!(split(&dir, Some("train")), ["preference/train.jsonl.gz"]);
    let both = ["my-dev_3.json", "preference/validation.jsonl.gz"];
    assert_eq!(split(&dir, Some("validation")), both);

    // The names of folders count first.
    let dir = folder(&[
        "train/part-2.jsonl",
        "train/part-10.jsonl",
        "eval/test-train.jsonl",
        "more.jsonl",
    ]);
    assert_eq!(
        split(&dir, Some("train")),
        ["train/part-10.jsonl", "train/part-2.jsonl"]
    );
    assert_eq!(split(&dir, Some("test")), ["eval/test-train.jsonl"]);

    // A word inside a word names nothing.
    let dir = folder(&["constraints.jsonl", "latest.jsonl"]);
    assert_eq!(split(&dir, None), ["constraints.jsonl", "latest.jsonl"]);
    assert_eq!(split(&dir, Some("train")).len(), 2);
    let dir = folder(&["train-test.jsonl"]);
    refused(
        dir.path(),
        DataPart::default(),
        "has the words of the splits `train` and `test`",
    );
}

#[test]
fn the_branch_of_converted_files_has_configurations_and_splits() {
    let dir = folder(&[
        "main/train_prefs/0000.parquet",
        "main/train_prefs/0001.parquet",
        "main/test/0000.parquet",
    ]);
    assert_eq!(split(&dir, Some("train_prefs")).len(), 2);
    write(&dir, "other/train/0000.parquet", "");
    refused(
        dir.path(),
        DataPart::split("train"),
        "several configurations: choose one of `main`, `other`",
    );
    let part = DataPart {
        config: Some("other"),
        split: None,
    };
    let files = data_files(dir.path(), part).unwrap();
    assert_eq!(names(dir.path(), files), ["other/train/0000.parquet"]);
    let part = DataPart {
        config: Some("third"),
        split: None,
    };
    refused(
        dir.path(),
        part,
        "no configuration `third`: the folder has `main`, `other`",
    );
}

const CARD: &str = "---
license: mit
configs:
- config_name: first
  data_files:
  - split: train
    path: 'a/*.jsonl'
  - split: test
    path:
    - b/one.jsonl
    - b/two.jsonl
- config_name: second
  data_files: c.jsonl
- config_name: third
  data_dir: d
---
# A dataset
";

#[test]
fn the_card_of_a_dataset_names_the_files() {
    let dir = folder(&[
        "a/2.jsonl",
        "a/1.jsonl",
        "b/one.jsonl",
        "b/two.jsonl",
        "c.jsonl",
        "d/test.jsonl",
        "x.jsonl",
    ]);
    write(&dir, "README.md", CARD);
    let files = |config: &str, split| {
        let part = DataPart {
            config: Some(config),
            split,
        };
        names(dir.path(), data_files(dir.path(), part).unwrap())
    };
    assert_eq!(files("first", Some("train")), ["a/1.jsonl", "a/2.jsonl"]);
    assert_eq!(files("first", Some("test")), ["b/one.jsonl", "b/two.jsonl"]);
    assert_eq!(files("second", None), ["c.jsonl"]);
    assert_eq!(files("third", Some("test")), ["d/test.jsonl"]);
    let names = "choose one of `first`, `second`, `third`";
    refused(dir.path(), DataPart::default(), names);
    let part = DataPart {
        config: Some("fourth"),
        split: None,
    };
    refused(
        dir.path(),
        part,
        "no configuration `fourth`: the card has `first`",
    );
    for (line, words) in [
        ("  default: true\n", ""),
        (
            "  data_files: ../secret.jsonl\n",
            "`../secret.jsonl` lies outside the folder",
        ),
        (
            "  data_files: /etc/passwd\n",
            "`/etc/passwd` lies outside the folder",
        ),
        ("  data_files: hf://datasets/x\n", "lies outside the folder"),
        ("  data_files: 3: 4\n", "the front matter cannot be read"),
        ("  data_files: none.jsonl\n", "no file matches this pattern"),
    ] {
        let card = format!("---\nconfigs:\n- config_name: a\n{line}- config_name: b\n---\n");
        write(&dir, "README.md", &card);
        match words {
            "" => assert!(data_files(dir.path(), DataPart::split("test")).is_ok()),
            words => {
                let part = DataPart {
                    config: Some("a"),
                    split: None,
                };
                refused(dir.path(), part, words);
            }
        }
    }
    // A card without configurations leaves the names.
    for card in [
        "# A dataset",
        "---\nlicense: mit\n---\n",
        "---\n---\n",
        "---\nopen: [",
        "",
    ] {
        write(&dir, "README.md", card);
        assert!(
            data_files(dir.path(), DataPart::split("test")).is_ok(),
            "{card}"
        );
    }
}

#[test]
fn patterns_and_files_have_no_splits() {
    let dir = folder(&[
        "x-2.jsonl",
        "x-1.jsonl",
        "y.csv",
        "sub/x-3.jsonl",
        "[z].jsonl",
    ]);
    let path = |name: &str| dir.path().join(name);
    let found = |name: &str| {
        names(
            dir.path(),
            data_files(path(name), DataPart::default()).unwrap(),
        )
    };
    assert_eq!(found("x-?.jsonl"), ["x-1.jsonl", "x-2.jsonl"]);
    assert_eq!(found("**/x-*"), ["sub/x-3.jsonl", "x-1.jsonl", "x-2.jsonl"]);
    assert_eq!(found("y.csv"), ["y.csv"]);
    // A file whose name looks like a pattern is a file.
    assert_eq!(found("[z].jsonl"), ["[z].jsonl"]);
    refused(
        &path("x*"),
        DataPart::split("train"),
        "a pattern has no splits",
    );
    refused(
        &path("y.csv"),
        DataPart::split("train"),
        "a file has no splits",
    );
    refused(
        &path("q*"),
        DataPart::default(),
        "no file matches this pattern",
    );
    refused(&path("x[*"), DataPart::default(), "not a pattern of files");
    refused(&path("*"), DataPart::default(), "y.csv: a table, but ");
    let error = data_files(path("none.jsonl"), DataPart::default()).unwrap_err();
    assert!(matches!(error, DataError::Missing { .. }));
    let empty = TempDir::new().unwrap();
    refused(
        empty.path(),
        DataPart::default(),
        "a folder without data files",
    );
    write(&empty, "state.json", "{}");
    refused(
        empty.path(),
        DataPart::default(),
        "written by `save_to_disk`",
    );
    let mixed = folder(&["train.jsonl", "train.parquet", "test.jsonl"]);
    refused(
        mixed.path(),
        DataPart::split("train"),
        "train.parquet: Parquet, but ",
    );
    assert_eq!(split(&mixed, Some("test")), ["test.jsonl"]);
}

#[test]
fn fifty_shards_are_one_dataset() {
    let dir = TempDir::new().unwrap();
    let mut expected = Vec::new();
    for shard in 0..50 {
        let name = format!("data/train-{shard:05}-of-00050.jsonl");
        let rows: String = (0..=shard % 3)
            .map(|row| {
                format!(
                    "{{\"prompt\": \"{shard}.{row}?\", \"chosen\": \"b\", \"rejected\": \"c\"}}\n"
                )
            })
            .collect();
        write(&dir, &name, &rows);
        let (pairs, _) = read_pairs(dir.path().join(name), &ReadOptions::default()).unwrap();
        expected.extend(pairs);
    }
    // An empty shard has no rows, and is no mistake.
    write(&dir, "data/train-00007-of-00050.jsonl", "");
    expected.retain(|pair| !pair.prompt.to_plain().starts_with("7."));
    let files = data_files(dir.path(), DataPart::default()).unwrap();
    assert_eq!(files.len(), 50);
    let (pairs, reports) = read_pairs_of(&files, &ReadOptions::default()).unwrap();
    assert_eq!((pairs, reports.len()), (expected, 49));
    assert_eq!(reports[7].path, files[8]);

    let other = "{\"prompt\": \"a?\", \"chosen\": \"b\", \"rejected\": \"c\", \"score_chosen\": 2, \
                 \"score_rejected\": 1}\n";
    write(&dir, "data/train-00030-of-00050.jsonl", other);
    let error = read_pairs_of(&files, &ReadOptions::default()).unwrap_err();
    let words = "train-00030-of-00050.jsonl: ultra_feedback rows, but ";
    assert!(error.to_string().contains(words), "{error}");
    let options = ReadOptions {
        format: Some(Format::Trl),
        ..ReadOptions::default()
    };
    assert_eq!(read_pairs_of(&files, &options).unwrap().1.len(), 49);
    let empty = &files[7..8];
    let error = read_pairs_of(empty, &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, DataError::Empty { .. }));
    assert!(read_pairs_of::<&Path>(&[], &options).is_err());

    // A shard that is missing is named, not skipped.
    std::fs::remove_file(dir.path().join("data/train-00012-of-00050.jsonl")).unwrap();
    let error = data_files(dir.path(), DataPart::default()).unwrap_err();
    assert!(
        error.to_string().contains("file 00012 of 50 is missing"),
        "{error}"
    );
    // A pattern names the files that are there.
    let pattern = dir.path().join("data/train-*.jsonl");
    assert_eq!(data_files(pattern, DataPart::default()).unwrap().len(), 49);
}
