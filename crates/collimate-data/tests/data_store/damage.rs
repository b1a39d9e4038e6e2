//! Folders that hold no whole store, or something else.

use std::path::Path;
use std::sync::OnceLock;

use super::*;

/// Returns the error of opening the folder as a store of pairs.
fn refused(dir: &Path) -> String {
    match TokenStore::<TokenizedPair>::open(dir) {
        Err(error @ DataError::Store { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Returns the error of beginning to build.
fn not_begun(dir: &Path, key: &str) -> String {
    match StoreBuilder::<TokenizedPair>::begin(dir, key) {
        Err(error @ DataError::Store { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

type Files = BTreeMap<String, Vec<u8>>;

/// A folder with the store of three pairs.
fn stored() -> TempDir {
    static FILES: OnceLock<Files> = OnceLock::new();
    copied(FILES.get_or_init(|| {
        let dir = TempDir::new().unwrap();
        built(dir.path(), "key", &three());
        files(dir.path())
    }))
}

/// A folder with two of three pairs.
fn half() -> TempDir {
    static FILES: OnceLock<Files> = OnceLock::new();
    copied(FILES.get_or_init(|| {
        let dir = TempDir::new().unwrap();
        let mut builder = building(dir.path(), "key");
        for (row, _) in &three()[..2] {
            builder.push(row).unwrap();
            builder.rows_done(1, &counts(1)).unwrap();
        }
        builder.checkpoint().unwrap();
        files(dir.path())
    }))
}

/// A new folder with the given files. Copies are faster than builds, which wait for the disk.
fn copied(files: &Files) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// Replaces the bytes of a file.
fn edit(dir: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.join(name);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Replaces a value of the description.
fn describe(dir: &Path, name: &str, field: &str, value: Value) {
    edit(dir, name, |bytes| {
        let mut description: Value = serde_json::from_slice(bytes).unwrap();
        description[field] = value;
        *bytes = serde_json::to_vec(&description).unwrap();
    });
}

#[test]
fn files_of_another_size_are_refused() {
    for name in ["ids.u32", "rows.bin"] {
        for more in [false, true] {
            let dir = stored();
            edit(dir.path(), name, |bytes| match more {
                true => bytes.push(0),
                false => drop(bytes.pop()),
            });
            for error in [refused(dir.path()), not_begun(dir.path(), "key")] {
                assert!(error.contains(name) && error.contains("delete"), "{error}");
            }
            // The store of another key takes the place.
            drop(building::<TokenizedPair>(dir.path(), "other"));
        }
        let dir = stored();
        fs::remove_file(dir.path().join(name)).unwrap();
        assert!(refused(dir.path()).contains("delete"));
    }
}

#[test]
fn sizes_that_no_file_has_are_refused() {
    for (field, name) in [("rows", "rows.bin"), ("ids", "ids.u32")] {
        for size in [0, 4, u64::MAX, u64::MAX / 4 + 1, u64::MAX / 32 + 4] {
            let dir = stored();
            describe(dir.path(), "store.json", field, json!(size));
            let error = refused(dir.path());
            assert!(error.contains(name), "{error}");
        }
    }
}

#[test]
fn a_store_of_another_kind_or_version_does_not_open_and_is_replaced() {
    let dir = stored();
    let error = TokenStore::<TokenizedExample>::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("pairs, not examples"), "{error}");
    drop(building::<TokenizedExample>(dir.path(), "key"));
    assert!(refused(dir.path()).contains("no complete"));
    drop(building::<TokenizedPair>(dir.path(), "key"));
    for name in ["store.json", "progress.json"] {
        let dir = if name == "store.json" {
            stored()
        } else {
            half()
        };
        describe(dir.path(), name, "version", json!(2));
        if name == "store.json" {
            assert!(refused(dir.path()).contains("version 2"));
        }
        assert_eq!(building::<TokenizedPair>(dir.path(), "key").consumed(), 0);
    }
}

#[test]
fn a_store_of_another_key_is_replaced_and_its_readers_keep_it() {
    let dir = stored();
    let old = complete::<TokenizedPair>(dir.path(), "key");
    let new = [(pair(&[9], &[8], &[7]), RowNumbers::default())];
    let store = built(dir.path(), "other", &new);
    check_same(&store, &new, pair_lengths);
    if cfg!(unix) {
        check_same(&old, &three(), pair_lengths);
    }
    // A half store too.
    let dir = half();
    assert_eq!(
        building::<TokenizedExample>(dir.path(), "key").consumed(),
        0
    );
    let dir = half();
    assert_eq!(building::<TokenizedPair>(dir.path(), "key").consumed(), 2);
    check_same(&built(dir.path(), "other", &new), &new, pair_lengths);
}

/// A process was killed between two steps of the replacement.
#[test]
fn a_replacement_that_was_stopped_is_continued() {
    let new = [(pair(&[9], &[8], &[7]), RowNumbers::default())];
    for steps in 0..4 {
        let dir = stored();
        let old = TokenStore::open(dir.path()).unwrap();
        let other = TempDir::new().unwrap();
        drop(building::<TokenizedPair>(other.path(), "other"));
        let [from, to] = [&other, &dir].map(|dir| dir.path().join("progress.json"));
        fs::copy(&from, &to).unwrap();
        for name in ["store.json", "ids.u32", "rows.bin"].iter().take(steps) {
            fs::remove_file(dir.path().join(name)).unwrap();
        }
        if steps == 0 {
            // The old store is still whole.
            check_same(&complete(dir.path(), "key"), &three(), pair_lengths);
            assert!(!to.exists());
            fs::copy(&from, &to).unwrap();
        }
        check_same(&built(dir.path(), "other", &new), &new, pair_lengths);
        if cfg!(unix) {
            check_same(&old, &three(), pair_lengths);
        }
    }
}

#[test]
fn progress_beside_another_store_does_not_count() {
    let (dir, whole) = (half(), stored());
    fs::copy(
        whole.path().join("store.json"),
        dir.path().join("store.json"),
    )
    .unwrap();
    describe(dir.path(), "store.json", "key", json!("other"));
    assert_eq!(building::<TokenizedPair>(dir.path(), "key").consumed(), 0);
    assert!(!dir.path().join("store.json").exists());
}

#[test]
fn the_progress_beside_a_complete_store_goes() {
    let (half, dir) = (half(), stored());
    let progress = dir.path().join("progress.json");
    fs::copy(half.path().join("progress.json"), &progress).unwrap();
    check_same(&complete(dir.path(), "key"), &three(), pair_lengths);
    assert!(!progress.exists());
}

#[test]
fn foreign_folders_stay_as_they_are() {
    let foreign: [&[(&str, &str)]; 6] = [
        &[("notes.txt", "mine")],
        &[("ids.u32", "mine")],
        &[("rows.bin", "mine"), ("store.lock", "")],
        &[("store.json", "{}")],
        &[("progress.json", "[1]")],
        &[("store.json", r#"{"format": "another", "version": 1}"#)],
    ];
    for content in foreign {
        let dir = TempDir::new().unwrap();
        for (name, text) in content {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let before = files(dir.path());
        let error = not_begun(dir.path(), "key");
        assert!(error.contains("choose a"), "{error}");
        assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
        assert_eq!(files(dir.path()), before);
    }
    // Files beside a store stay too.
    let dir = stored();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    built(dir.path(), "other", &three());
    assert_eq!(files(dir.path())["notes.txt"], b"mine");
    // A builder that was killed at once has left a lock and an unfinished file.
    let dir = TempDir::new().unwrap();
    for name in ["store.lock", ".unfinished-1-0-progress.json"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    built(dir.path(), "key", &three());
    assert_eq!(files(dir.path()).len(), 4);
}

#[test]
fn damaged_descriptions_are_refused_and_stay() {
    let deep = "[".repeat(100_000);
    let negative = r#"{"format": "collimate token store", "version": 1, "kind": "pairs",
        "key": "key", "consumed": 0, "rows": -1, "ids": 0, "numbered": 0, "report": {}, "about": 0}"#;
    let cut = r#"{"format": "collimate token store", "version": 1, "kind": "pa"#;
    let no_version = r#"{"format": "collimate token store"}"#;
    for text in [
        "", "{", "null", "[]", "3", &deep, negative, cut, no_version, "\u{0}",
    ] {
        for name in ["store.json", "progress.json"] {
            let dir = if name == "store.json" {
                stored()
            } else {
                half()
            };
            fs::write(dir.path().join(name), text).unwrap();
            let before = files(dir.path());
            assert!(refused(dir.path()).contains("token store"));
            let error = not_begun(dir.path(), "key");
            assert!(error.contains(name) && error.contains("delete"), "{error}");
            assert_eq!(files(dir.path()), before);
        }
    }
}

#[test]
fn a_description_with_another_mark_is_of_another_program() {
    for (name, dir) in [("store.json", stored()), ("progress.json", half())] {
        describe(dir.path(), name, "format", json!("another"));
        let before = files(dir.path());
        assert!(refused(dir.path()).contains("token store"));
        assert!(not_begun(dir.path(), "other").contains(name));
        assert_eq!(files(dir.path()), before);
    }
}

#[test]
fn a_description_that_is_too_large_is_not_read() {
    let dir = stored();
    let path = dir.path().join("store.json");
    let file = fs::File::options().write(true).open(path).unwrap();
    // A file with a gap, which needs no room on the disk.
    file.set_len(65 << 20).unwrap();
    assert!(refused(dir.path()).contains("too large"));
}

#[test]
fn a_record_that_does_not_fit_is_an_error_of_the_row() {
    const MAX: u32 = u32::MAX;
    let set = |words: &[(usize, u32)]| {
        let dir = stored();
        edit(dir.path(), "rows.bin", |bytes| {
            for (at, word) in words {
                bytes[4 * at..4 * at + 4].copy_from_slice(&word.to_le_bytes());
            }
        });
        TokenStore::<TokenizedPair>::open(dir.path()).unwrap()
    };
    // A record has 8 words: offset (two words), three lengths, flags, two numbers.
    let cases: [(&[(usize, u32)], usize); 14] = [
        (&[(0, 1)], 0),
        (&[(0, 1), (2, 1)], 0),
        (&[(1, 1)], 0),
        (&[(1, MAX), (0, MAX)], 0),
        (&[(2, 3)], 0),
        (&[(2, MAX)], 0),
        (&[(4, 0)], 0),
        (&[(5, 2)], 0),
        (&[(10, 1)], 1),
        // The ids of the row end where those of the next row begin, behind the end of the file.
        (&[(12, MAX), (16, 5), (17, 1)], 1),
        (&[(16, 5)], 2),
        (&[(18, MAX)], 2),
        (&[(20, 0)], 2),
        (&[(21, MAX)], 2),
    ];
    for (words, row) in cases {
        let store = set(words);
        let damaged = format!("row {row} is damaged");
        for error in [
            store.get(row).unwrap_err(),
            store.numbers(row).unwrap_err(),
            store.lengths(row).unwrap_err(),
        ] {
            assert!(matches!(error, DataError::Store { .. }), "{error:?}");
            assert!(error.to_string().contains(&damaged), "{error}");
        }
        // A pass ends with its first error.
        let passed: Vec<_> = store.iter().take(9).collect();
        let (last, before) = passed.split_last().unwrap();
        assert!(matches!(last, Err(DataError::Store { .. })), "{words:?}");
        assert!(before.iter().all(Result::is_ok) && before.len() <= row);
    }
}

#[test]
fn an_example_has_one_answer() {
    let dir = stored();
    describe(dir.path(), "store.json", "kind", json!("examples"));
    let store = TokenStore::<TokenizedExample>::open(dir.path()).unwrap();
    assert!(matches!(store.get(0), Err(DataError::Store { .. })));
    assert!(store.get(1).is_ok());
}

#[test]
fn a_file_that_is_cut_after_opening_is_an_error() {
    for name in ["ids.u32", "rows.bin"] {
        let dir = stored();
        let store = TokenStore::<TokenizedPair>::open(dir.path()).unwrap();
        fs::write(dir.path().join(name), [0; 8]).unwrap();
        assert!(matches!(store.get(2), Err(DataError::Io { .. })));
        assert!(
            store
                .iter()
                .any(|row| matches!(row, Err(DataError::Io { .. })))
        );
    }
}

#[test]
fn a_half_store_does_not_open_and_must_have_its_bytes() {
    let dir = half();
    assert!(refused(dir.path()).contains("no complete token store"));
    assert!(refused(&dir.path().join("nowhere")).contains("no complete token store"));
    for (name, size) in [("ids.u32", 23), ("rows.bin", 63)] {
        let dir = half();
        edit(dir.path(), name, |bytes| {
            bytes.truncate(size);
        });
        let error = not_begun(dir.path(), "key");
        assert!(error.contains(name) && error.contains("delete"), "{error}");
        let dir = half();
        describe(dir.path(), "progress.json", "ids", json!(u64::MAX));
        assert!(not_begun(dir.path(), "key").contains("ids.u32"));
    }
}

#[test]
fn only_one_builder_is_at_work_in_a_folder() {
    let dir = TempDir::new().unwrap();
    let builder = building::<TokenizedPair>(dir.path(), "key");
    for key in ["key", "other"] {
        let error = not_begun(dir.path(), key);
        assert!(error.contains("another process builds"), "{error}");
    }
    drop(builder);
    let builder = building::<TokenizedPair>(dir.path(), "key");
    builder.finish(counts(0), Value::Null).unwrap();
    complete::<TokenizedPair>(dir.path(), "key");
    // A reader needs no lock, even while the store is replaced.
    let _builder = building::<TokenizedPair>(dir.path(), "other");
    assert!(refused(dir.path()).contains("no complete"));
}

#[test]
fn files_that_another_program_changes_are_no_store() {
    for name in ["ids.u32", "rows.bin"] {
        let dir = TempDir::new().unwrap();
        let mut builder = building(dir.path(), "key");
        for (row, _) in three() {
            builder.push(&row).unwrap();
        }
        builder.rows_done(3, &counts(3)).unwrap();
        fs::write(dir.path().join(name), [0; 500]).unwrap();
        let error = builder.checkpoint().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        builder.finish(counts(3), Value::Null).unwrap_err();
        assert!(refused(dir.path()).contains("no complete"));
    }
}

#[test]
fn a_note_that_cannot_be_read_back_is_refused() {
    let dir = TempDir::new().unwrap();
    let deep = (0..200).fold(Value::Null, |inner, _| json!([inner]));
    let builder = building::<TokenizedPair>(dir.path(), "key");
    let error = builder.finish(counts(0), deep).unwrap_err();
    assert!(matches!(error, DataError::Argument { .. }), "{error:?}");
    let fine = (0..100).fold(Value::Null, |inner, _| json!([inner]));
    let builder = building::<TokenizedPair>(dir.path(), "key");
    let store = builder.finish(counts(0), fine.clone()).unwrap();
    assert_eq!(store.about(), &fine);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the bytes are, reading ends with rows or errors.
    #[test]
    fn damaged_bytes_are_no_panic(
        name in prop_oneof![Just("store.json"), Just("rows.bin"), Just("ids.u32")],
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let dir = stored();
        edit(dir.path(), name, |bytes| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        });
        if let Ok(store) = TokenStore::<TokenizedPair>::open(dir.path()) {
            for i in 0..store.len() {
                let _ = (store.get(i), store.numbers(i), store.lengths(i));
            }
            assert!(store.iter().count() <= 3);
        }
        let _ = StoreBuilder::<TokenizedPair>::begin(dir.path(), "key");
    }
}
