//! Stores of token ids: what is read is what was written, after stops too. Tests of damaged
//! folders are in `damage`, of texts in `texts`, of keys in `keys`.

mod damage;
mod keys;
mod texts;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use collimate_data::{
    Begun, DataError, Lengths, RowNumbers, StoreBuilder, StoredRow, TokenStore, TokenizeReport,
    TokenizedExample, TokenizedPair,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Returns the name and content of each file in a folder.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn building<T: StoredRow + Debug>(dir: &Path, key: &str) -> StoreBuilder<T> {
    match StoreBuilder::begin(dir, key).unwrap() {
        Begun::Building(builder) => builder,
        Begun::Complete(store) => panic!("complete: {store:?}"),
    }
}

fn complete<T: StoredRow + Debug>(dir: &Path, key: &str) -> TokenStore<T> {
    match StoreBuilder::begin(dir, key).unwrap() {
        Begun::Building(builder) => panic!("not complete: {builder:?}"),
        Begun::Complete(store) => store,
    }
}

/// Counts that differ from row to row.
fn counts(rows: u64) -> TokenizeReport {
    TokenizeReport {
        pairs: rows as usize,
        tokens: 3 * rows as usize,
        ..TokenizeReport::default()
    }
}

fn pair(prompt: &[u32], chosen: &[u32], rejected: &[u32]) -> TokenizedPair {
    TokenizedPair {
        prompt: prompt.to_vec(),
        chosen: chosen.to_vec(),
        rejected: rejected.to_vec(),
        ..TokenizedPair::default()
    }
}

/// Returns a pair with its numbers, and the numbers.
fn numbered(row: TokenizedPair, numbers: RowNumbers) -> (TokenizedPair, RowNumbers) {
    let RowNumbers { margin, weight } = numbers;
    let row = TokenizedPair {
        margin,
        weight,
        ..row
    };
    (row, numbers)
}

/// Builds a store without a stop.
fn built<T: StoredRow + Debug>(dir: &Path, key: &str, rows: &[(T, RowNumbers)]) -> TokenStore<T> {
    let mut builder = building(dir, key);
    for (row, _) in rows {
        builder.push(row).unwrap();
        let report = counts(builder.consumed() + 1);
        builder.rows_done(1, &report).unwrap();
    }
    let report = *builder.report();
    builder.finish(report, json!({"note": [1, "é"]})).unwrap()
}

/// Three pairs of 6, 0 and 4 ids.
fn three() -> Vec<(TokenizedPair, RowNumbers)> {
    let weight = RowNumbers {
        margin: None,
        weight: Some(0.25),
    };
    let cut = TokenizedPair {
        truncated: true,
        ..pair(&[1], &[u32::MAX, 2], &[2])
    };
    vec![
        (pair(&[1, 5], &[6, 2], &[7, 2]), RowNumbers::default()),
        numbered(pair(&[], &[], &[]), weight),
        (cut, RowNumbers::default()),
    ]
}

fn numbers() -> impl Strategy<Value = RowNumbers> {
    let number = || proptest::option::of(any::<f32>().prop_filter("finite", |n| n.is_finite()));
    (number(), number()).prop_map(|(margin, weight)| RowNumbers { margin, weight })
}

fn ids() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(any::<u32>(), 0..8)
}

fn pairs() -> impl Strategy<Value = Vec<(TokenizedPair, RowNumbers)>> {
    let row = (ids(), ids(), ids(), any::<bool>());
    let row = row.prop_map(|(prompt, chosen, rejected, truncated)| TokenizedPair {
        prompt,
        chosen,
        rejected,
        truncated,
        ..TokenizedPair::default()
    });
    let row = (row, numbers()).prop_map(|(row, numbers)| numbered(row, numbers));
    proptest::collection::vec(row, 0..24)
}

fn check_same<T: StoredRow + Debug + PartialEq>(
    store: &TokenStore<T>,
    rows: &[(T, RowNumbers)],
    lengths: impl Fn(&T) -> Lengths,
) {
    assert_eq!(store.len(), rows.len());
    assert_eq!(store.is_empty(), rows.is_empty());
    for (i, (row, numbers)) in rows.iter().enumerate() {
        assert_eq!(store.get(i).unwrap(), *row);
        assert_eq!(store.numbers(i).unwrap(), *numbers);
        assert_eq!(store.lengths(i).unwrap(), lengths(row));
    }
    let passed: Vec<T> = store.iter().map(Result::unwrap).collect();
    assert!(passed.iter().eq(rows.iter().map(|(row, _)| row)));
    for index in [rows.len(), usize::MAX] {
        assert!(matches!(store.get(index), Err(DataError::Argument { .. })));
        assert!(store.numbers(index).is_err() && store.lengths(index).is_err());
    }
}

fn pair_lengths(row: &TokenizedPair) -> Lengths {
    Lengths {
        prompt: row.prompt.len() as u32,
        answers: [row.chosen.len() as u32, row.rejected.len() as u32],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_read_is_what_was_written(rows in pairs()) {
        let dir = TempDir::new().unwrap();
        let store = built(dir.path(), "key", &rows);
        check_same(&store, &rows, pair_lengths);
        check_same(&TokenStore::open(dir.path()).unwrap(), &rows, pair_lengths);
        let examples: Vec<_> = rows.into_iter().map(|(row, _)| {
            let TokenizedPair { prompt, chosen, truncated, .. } = row;
            (TokenizedExample { prompt, completion: chosen, truncated }, RowNumbers::default())
        }).collect();
        let store = built(dir.path(), "key", &examples);
        check_same(&store, &examples, |row| Lengths {
            prompt: row.prompt.len() as u32,
            answers: [row.completion.len() as u32, 0],
        });
    }

    /// A stop drops the builder: after a checkpoint or not, between rows that are done or not.
    #[test]
    fn stops_change_no_byte(rows in pairs(), steps in proptest::collection::vec(0..7u8, 0..40)) {
        let dir = TempDir::new().unwrap();
        let whole = TempDir::new().unwrap();
        let expected = built(whole.path(), "key", &rows);
        let mut builder = building(dir.path(), "key");
        let mut sure = 0;
        for step in steps {
            let at = builder.consumed();
            match (step, rows.get(at as usize)) {
                (0, _) => {
                    builder.checkpoint().unwrap();
                    sure = at;
                }
                (1, _) => {
                    drop(builder);
                    assert!(TokenStore::<TokenizedPair>::open(dir.path()).is_err());
                    builder = building(dir.path(), "key");
                    assert_eq!((builder.consumed(), *builder.report()), (sure, counts(sure)));
                }
                (2, Some((row, _))) => {
                    // This row is not done, so it is taken again.
                    builder.push(row).unwrap();
                    if at % 2 == 0 {
                        builder.checkpoint().unwrap();
                        sure = at;
                    }
                    drop(builder);
                    builder = building(dir.path(), "key");
                    assert_eq!(builder.consumed(), sure);
                }
                (_, Some((row, _))) => {
                    builder.push(row).unwrap();
                    builder.rows_done(1, &counts(at + 1)).unwrap();
                }
                (_, None) => {}
            }
        }
        while let Some((row, _)) = rows.get(builder.consumed() as usize) {
            builder.push(row).unwrap();
            let report = counts(builder.consumed() + 1);
            builder.rows_done(1, &report).unwrap();
        }
        let report = *builder.report();
        let store = builder.finish(report, expected.about().clone()).unwrap();
        check_same(&store, &rows, pair_lengths);
        assert_eq!(files(dir.path()), files(whole.path()));
    }
}

#[test]
fn the_files_are_ids_records_and_a_description() {
    let dir = TempDir::new().unwrap();
    let store = built(dir.path(), "some key", &three());
    let files = files(dir.path());
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["ids.u32", "rows.bin", "store.json", "store.lock"]);
    let ids = [1, 5, 6, 2, 7, 2, 1, u32::MAX, 2, 2].map(u32::to_le_bytes);
    assert_eq!(files["ids.u32"], ids.as_flattened());
    assert_eq!(files["rows.bin"].len(), 3 * 32);
    let description: Value = serde_json::from_slice(&files["store.json"]).unwrap();
    let expected = json!({"format": "collimate token store", "version": 1, "kind": "pairs",
        "key": "some key", "consumed": 3, "rows": 3, "ids": 10, "numbered": 1,
        "report": counts(3), "about": {"note": [1, "é"]}});
    assert_eq!(description, expected);
    assert_eq!((store.key(), *store.report()), ("some key", counts(3)));
    assert_eq!(store.about(), &expected["about"]);
    assert_eq!(store.folder(), dir.path());
    let shown = format!("{store:?}");
    assert!(
        shown.contains("some key") && shown.contains("rows: 3"),
        "{shown}"
    );
}

#[test]
fn many_rows_bring_checkpoints_and_are_read_in_blocks() {
    let dir = TempDir::new().unwrap();
    let row = |i: u32| pair(&[i; 3], &[i + 1], &[i + 2]);
    let mut builder = building(dir.path(), "key");
    for i in 0..70_000 {
        builder.push(&row(i)).unwrap();
        builder.rows_done(1, &counts(u64::from(i) + 1)).unwrap();
    }
    drop(builder);
    let mut builder = building(dir.path(), "key");
    assert_eq!(builder.consumed(), 65_536);
    for i in 65_536..70_000 {
        builder.push(&row(i)).unwrap();
    }
    let store = builder.finish(counts(1), Value::Null).unwrap();
    for (i, read) in (0..).zip(&store) {
        assert_eq!(read.unwrap(), row(i));
    }
    assert_eq!(
        (store.iter().size_hint().1, store.iter().count()),
        (Some(70_000), 70_000)
    );
}

#[test]
fn many_ids_bring_checkpoints_too() {
    let dir = TempDir::new().unwrap();
    // Eight rows have more than 32 MiB.
    let long: Vec<u32> = (0..1_100_000).collect();
    let mut builder = building(dir.path(), "key");
    for i in 0..9 {
        builder.push(&pair(&[i], &long, &[])).unwrap();
        builder.rows_done(1, &counts(1)).unwrap();
    }
    drop(builder);
    let builder = building::<TokenizedPair>(dir.path(), "key");
    assert_eq!(builder.consumed(), 8);
    let store = builder.finish(counts(1), Value::Null).unwrap();
    assert_eq!(store.lengths(7).unwrap().longest(), 1_100_001);
    for (i, read) in (0..).zip(&store) {
        assert_eq!(read.unwrap(), pair(&[i], &long, &[]));
    }
}

#[test]
fn input_rows_without_a_row_in_the_store_count() {
    let dir = TempDir::new().unwrap();
    let mut builder = building(dir.path(), "key");
    builder.rows_done(3, &counts(3)).unwrap();
    for (row, _) in three() {
        builder.push(&row).unwrap();
    }
    builder.rows_done(1, &counts(4)).unwrap();
    builder.checkpoint().unwrap();
    drop(builder);
    let builder = building::<TokenizedPair>(dir.path(), "key");
    assert_eq!((builder.consumed(), *builder.report()), (4, counts(4)));
    let store = builder.finish(counts(5), Value::Null).unwrap();
    assert_eq!((store.len(), *store.report()), (3, counts(5)));
}

#[test]
fn numbers_that_training_cannot_use_are_refused() {
    let dir = TempDir::new().unwrap();
    let mut builder = building(dir.path(), "key");
    for bad in [f32::NAN, f32::INFINITY] {
        for (margin, weight) in [(Some(bad), None), (None, Some(bad))] {
            let row = three().swap_remove(0).0;
            let (row, _) = numbered(row, RowNumbers { margin, weight });
            let pushed = builder.push(&row);
            assert!(matches!(pushed, Err(DataError::Argument { .. })));
        }
    }
    let store = builder.finish(counts(0), Value::Null).unwrap();
    assert!(store.is_empty() && store.iter().next().is_none());
}

#[test]
fn a_margin_or_a_weight_is_a_number_of_the_store() {
    for (margin, weight) in [(None, None), (Some(1.0), None), (None, Some(0.0))] {
        let dir = TempDir::new().unwrap();
        let numbers = RowNumbers { margin, weight };
        let rows = [numbers, RowNumbers::default()]
            .map(|numbers| numbered(pair(&[1], &[2], &[3]), numbers));
        let store = built(dir.path(), "key", &rows);
        assert_eq!(store.has_numbers(), margin.is_some() || weight.is_some());
    }
}

#[test]
fn threads_read_a_store_at_once() {
    let dir = TempDir::new().unwrap();
    let rows: Vec<_> = (0..500)
        .map(|i| (pair(&[i], &[i, i], &[i; 5]), RowNumbers::default()))
        .collect();
    let store = built(dir.path(), "key", &rows);
    std::thread::scope(|scope| {
        for start in 0..4 {
            let (store, rows) = (store.clone(), &rows);
            scope.spawn(move || {
                for i in (start..500).step_by(3).chain(0..500) {
                    assert_eq!(store.get(i).unwrap(), rows[i].0);
                }
            });
        }
    });
}

#[test]
fn a_store_without_margins_keeps_the_rest() {
    let dir = TempDir::new().unwrap();
    let margin = RowNumbers {
        margin: Some(0.5),
        weight: Some(2.0),
    };
    let rows = [numbered(pair(&[1], &[2, 3], &[4]), margin)];
    let store = built(dir.path(), "key", &rows).without_margins();
    let bare = TokenizedPair {
        margin: None,
        ..rows[0].0.clone()
    };
    assert_eq!(store.get(0).unwrap(), bare);
    assert_eq!(store.iter().next().unwrap().unwrap(), bare);
    assert_eq!(store.numbers(0).unwrap().margin, None);
    assert_eq!(store.clone().get(0).unwrap().weight, Some(2.0));
    assert_eq!(
        TokenStore::<TokenizedPair>::open(dir.path())
            .unwrap()
            .get(0)
            .unwrap(),
        rows[0].0
    );
}
