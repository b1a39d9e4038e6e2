//! Stores of texts: tokenised as `encode_pairs` does, without pairs whose answers are equal.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;

use collimate_core::{PreferencePair, Prompt};
use collimate_data::{SftExample, SpecialTokenIds, StoreKey, StorePlan, TextTokenizer, Truncation};
use tokenizers::Tokenizer;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;

use super::*;

const WORDS: [&str; 8] = ["</s>", "<unk>", "a", "b", "c", "d", "e", "f"];
const LENGTH: usize = 6;

pub(super) fn tokenizer() -> TextTokenizer {
    let vocab = WORDS.iter().zip(0..);
    let vocab = vocab.map(|(word, id)| ((*word).to_owned(), id)).collect();
    let model = WordLevel::builder().vocab(vocab);
    let model = model.unk_token("<unk>".into()).build().unwrap();
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(WhitespaceSplit));
    let special = SpecialTokenIds {
        bos: None,
        eos: 0,
        pad: None,
    };
    TextTokenizer::new(tokenizer, special, None).unwrap()
}

pub(super) fn plan(dir: &TempDir) -> StorePlan {
    StorePlan {
        dir: dir.path().join("store"),
        input: StoreKey::new("pairs").text("rows"),
        max_length: LENGTH,
        truncation: Truncation::KeepEnd,
    }
}

type Row = Vec<PreferencePair>;

/// The pairs of a row: none, one or two. Some answers become equal after the cut or as `<unk>`.
fn row(i: usize) -> Row {
    let word = |i: usize| WORDS[2 + i % 6];
    let pair = |i: usize| {
        let long = format!("{} {} a b c d", word(i), word(i / 6));
        let (chosen, rejected) = match i % 7 {
            0 => ("x", "y"),
            1 => (long.as_str(), "b"),
            _ => (word(i), word(i + 1 + i % 3)),
        };
        let prompt = format!("{} {}", word(i / 3), word(i / 5));
        PreferencePair {
            margin: i.is_multiple_of(2).then_some(i as f64),
            ..PreferencePair::new(prompt, chosen, rejected)
        }
    };
    (0..[1, 2, 0, 1][i % 4])
        .map(|more| pair(3 * i + more))
        .collect()
}

fn rows(count: usize) -> impl Iterator<Item = Result<Row, DataError>> {
    (0..count).map(|i| Ok(row(i)))
}

fn go(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn store(plan: &StorePlan, count: usize) -> TokenStore<TokenizedPair> {
    let stored = tokenizer().store_pairs(plan, rows(count), || json!(count), go);
    stored.unwrap().unwrap()
}

#[test]
fn ids_and_counts_are_those_of_encode_pairs() {
    let dir = TempDir::new().unwrap();
    let store = store(&plan(&dir), 9000);
    let pairs: Vec<_> = (0..9000).flat_map(row).collect();
    assert_eq!(pairs.len(), 9000);
    let (ids, report) = tokenizer()
        .encode_pairs_with(&pairs, LENGTH, Truncation::KeepEnd, |_, _| {})
        .unwrap();
    assert_eq!(*store.report(), report);
    assert!(report.equal_answers > 1000 && report.truncated > 1000);
    let kept = ids.into_iter().filter(|ids| ids.chosen != ids.rejected);
    let kept = kept.map(|ids| {
        let (margin, weight) = (ids.margin, ids.weight);
        (ids, RowNumbers { margin, weight })
    });
    let kept: Vec<_> = kept.collect();
    assert!(kept.iter().any(|(ids, _)| ids.margin.is_some()));
    assert_eq!(kept.len(), report.pairs - report.equal_answers);
    check_same(&store, &kept, pair_lengths);
    assert_eq!(store.about(), &json!(9000));
}

#[test]
fn pairs_of_weight_0_are_counted_and_not_stored() {
    let dir = TempDir::new().unwrap();
    let weighted = |weight| PreferencePair {
        weight: Some(weight),
        ..PreferencePair::new("a", "b", "c")
    };
    let rows = [vec![weighted(0.0), weighted(0.5)], vec![weighted(0.0)]];
    let rows = rows.into_iter().map(Ok);
    let stored = tokenizer().store_pairs(&plan(&dir), rows, || Value::Null, go);
    let store = stored.unwrap().unwrap();
    assert_eq!((store.len(), store.report().pairs), (1, 3));
    assert_eq!(store.get(0).unwrap().weight, Some(0.5));
}

#[test]
fn examples_are_all_kept() {
    let dir = TempDir::new().unwrap();
    let example = |i: usize| SftExample::from(&PreferencePair::new(WORDS[2 + i % 6], "a", "b"));
    let rows = (0..50).map(|i| Ok(vec![example(i)]));
    let stored = tokenizer().store_examples(&plan(&dir), rows, || Value::Null, go);
    let store = stored.unwrap().unwrap();
    let examples: Vec<_> = (0..50).map(example).collect();
    let (ids, report) = tokenizer()
        .encode_examples(&examples, LENGTH, Truncation::KeepEnd)
        .unwrap();
    assert_eq!(*store.report(), report);
    assert_eq!(store.len(), 50);
    for (i, ids) in ids.iter().enumerate() {
        assert_eq!(&store.get(i).unwrap(), ids);
    }
}

#[test]
fn a_stopped_build_continues_without_tokenising_again() {
    let whole = TempDir::new().unwrap();
    store(&plan(&whole), 20_000);
    let dir = TempDir::new().unwrap();
    // A row that no tokenizer without a template takes.
    let untold = || vec![PreferencePair::new(Prompt::Chat(vec![]), "a", "b")];
    let mut taken = 0;
    for stop in [1, 1, 2] {
        let mut calls = 0;
        let mut last = 0;
        let input = (0..20_000).map(|i| Ok(if i < taken { untold() } else { row(i) }));
        let stored = tokenizer().store_pairs(
            &plan(&dir),
            input,
            || panic!("no end"),
            |rows| {
                assert!(rows > last);
                last = rows;
                calls += u64::from(rows > taken as u64);
                if calls == stop {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        assert!(stored.unwrap().is_none());
        assert!(TokenStore::<TokenizedPair>::open(plan(&dir).dir).is_err());
        taken = last as usize;
    }
    assert!(taken > 12_000 && taken < 20_000, "{taken}");
    // A stop while old rows are read changes nothing.
    let stopped = tokenizer().store_pairs(
        &plan(&dir),
        rows(20_000),
        || panic!("no end"),
        |rows| {
            assert_eq!(rows, 4096);
            ControlFlow::Break(())
        },
    );
    assert!(stopped.unwrap().is_none());
    let input = (0..20_000).map(|i| Ok(if i < taken { untold() } else { row(i) }));
    let last = Cell::new(0);
    let stored = tokenizer().store_pairs(
        &plan(&dir),
        input,
        || json!(20_000),
        |rows| {
            last.set(rows);
            ControlFlow::Continue(())
        },
    );
    assert!(stored.unwrap().is_some());
    assert_eq!(last.get(), 20_000);
    assert_eq!(files(&plan(&dir).dir), files(&plan(&whole).dir));
}

#[test]
fn a_complete_store_reads_no_row() {
    let dir = TempDir::new().unwrap();
    let first = store(&plan(&dir), 40);
    let untouched = std::iter::from_fn(|| panic!("a row is read"));
    let again = tokenizer()
        .store_pairs(&plan(&dir), untouched, || panic!("no end"), go)
        .unwrap()
        .unwrap();
    assert_eq!((again.len(), again.about()), (first.len(), first.about()));
    assert_eq!(again.key(), plan(&dir).key(&tokenizer()).unwrap());
}

/// Rows that tell when they are read and when they are dropped.
struct Told<'a>(std::ops::Range<usize>, &'a RefCell<Vec<Value>>);

impl Iterator for Told<'_> {
    type Item = Result<Row, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let i = self.0.next()?;
        self.1.borrow_mut().push(json!(i));
        Some(Ok(row(i)))
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.1.borrow_mut().push(json!("dropped"));
    }
}

#[test]
fn the_note_is_made_after_the_last_row() {
    let dir = TempDir::new().unwrap();
    let told = RefCell::new(Vec::new());
    let about = || json!(told.take());
    let stored = tokenizer().store_pairs(&plan(&dir), Told(0..3, &told), about, go);
    let store = stored.unwrap().unwrap();
    assert_eq!(store.about(), &json!([0, 1, 2, "dropped"]));
}

#[test]
fn length_truncation_tokenizer_and_input_are_in_the_key() {
    let dir = TempDir::new().unwrap();
    let key = |plan: &StorePlan| plan.key(&tokenizer()).unwrap();
    let base = plan(&dir);
    let longer = StorePlan {
        max_length: 7,
        ..base.clone()
    };
    let start = StorePlan {
        truncation: Truncation::KeepStart,
        ..base.clone()
    };
    let input = StorePlan {
        input: StoreKey::new("pairs").text("other rows"),
        ..base.clone()
    };
    let other = tokenizer().with_max_prompt_length(Some(3));
    let mut keys = vec![
        key(&longer),
        key(&start),
        key(&input),
        base.key(&other).unwrap(),
    ];
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4);
    assert!(!keys.contains(&key(&base)));
    let moved = StorePlan {
        dir: "elsewhere".into(),
        ..base.clone()
    };
    assert_eq!(key(&moved), key(&base));
    // Another length is built anew.
    store(&base, 40);
    let longer = store(&longer, 40);
    assert!(
        longer
            .iter()
            .any(|row| row.unwrap().chosen.len() > LENGTH - 2)
    );
}

#[test]
fn errors_end_the_build_and_leave_no_store() {
    let dir = TempDir::new().unwrap();
    let bad = |i| match i {
        30 => Err(DataError::Tokenize("row 30".to_owned())),
        i => Ok(row(i)),
    };
    let stored = tokenizer().store_pairs(&plan(&dir), (0..40).map(bad), || json!(0), go);
    assert!(stored.unwrap_err().to_string().contains("row 30"));
    let chat = PreferencePair::new(Prompt::Chat(vec![]), "a", "b");
    let input = [Ok(vec![chat])];
    let stored = tokenizer().store_pairs(&plan(&dir), input, || json!(0), go);
    assert!(matches!(stored, Err(DataError::ChatTemplate(_))));
    assert!(TokenStore::<TokenizedPair>::open(plan(&dir).dir).is_err());
    store(&plan(&dir), 40);
}

#[test]
fn an_input_that_has_become_shorter_is_an_error() {
    let dir = TempDir::new().unwrap();
    let stopped = tokenizer().store_pairs(
        &plan(&dir),
        rows(5000),
        || json!(0),
        |_| ControlFlow::Break(()),
    );
    assert!(stopped.unwrap().is_none());
    let stored = tokenizer().store_pairs(&plan(&dir), rows(100), || json!(0), go);
    let error = stored.unwrap_err().to_string();
    assert!(
        error.contains("100 rows") && error.contains("delete"),
        "{error}"
    );
}
