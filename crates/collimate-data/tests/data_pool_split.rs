//! No label leaks from the pool, no group is in two parts of a split, and noise is exact.

use std::collections::{BTreeSet, HashMap};

use collimate_core::{Kept, Key, LeaveReason, Left, PreferencePair, Selection};
use collimate_data::{
    Auditor, DataError, HiddenLabelPool, SER_SHARES, oracle_labels, seed_split, split_by_fraction,
    split_by_hash, swap_labels,
};
use proptest::prelude::*;

fn pairs(n: usize) -> Vec<PreferencePair> {
    (0..n)
        .map(|i| {
            let (good, bad) = (
                format!("good {}", i * 7 % 13),
                format!("bad {}", i * 5 % 11),
            );
            let mut pair = PreferencePair::new(format!("q{i}"), good, bad);
            pair.score_gap = Some(1.0);
            pair
        })
        .collect()
}

fn swapped(pairs: &[PreferencePair]) -> Vec<PreferencePair> {
    pairs.iter().cloned().map(PreferencePair::swapped).collect()
}

/// Keeps every pair, and exchanges the answers unless the first one reads "good".
fn good_first(pool: &HiddenLabelPool) -> Selection {
    let kept = pool.pairs().iter().enumerate().map(|(index, pair)| Kept {
        index,
        swapped: !pair.first.text.starts_with("good"),
        score: 0.0,
    });
    Selection {
        kept: kept.collect(),
        left: Vec::new(),
    }
}

#[test]
fn the_pool_is_the_same_whatever_the_labels_and_the_order_of_rows() {
    let rows = pairs(500);
    let key = Key::new(3, "pool");
    let (pool, _) = HiddenLabelPool::seal(rows.clone(), key);
    let (flipped, _) = HiddenLabelPool::seal(swapped(&rows), key);
    let (reversed, _) = HiddenLabelPool::seal(rows.iter().rev().cloned().collect(), key);
    assert_eq!(pool, flipped);
    assert_eq!(pool, reversed);
    let (other, _) = HiddenLabelPool::seal(rows, Key::new(4, "pool"));
    assert_ne!(pool, other);
}

#[test]
fn the_shown_order_says_nothing_about_the_label() {
    let (pool, sealed) = HiddenLabelPool::seal(pairs(4000), Key::new(0, "pool"));
    let auditor = Auditor::new(sealed);
    let first: Vec<_> = pool.pairs().iter().map(|p| (p.id, true)).collect();
    let rate = auditor.precision(&first).unwrap().value().unwrap();
    // Four standard deviations of a fair coin.
    assert!((rate - 0.5).abs() < 4.0 * 0.5 / 4000_f64.sqrt(), "{rate}");
    let sorted: Vec<_> = pool
        .pairs()
        .iter()
        .map(|p| (p.id, p.first.text > p.second.text))
        .collect();
    assert_eq!(
        auditor.precision(&sorted).unwrap().correct,
        4000,
        "good sorts after bad"
    );
    assert_eq!(auditor.precision(&[]).unwrap().value(), None);
    assert!(auditor.precision(&[(4000, true)]).is_err());
    assert_eq!(
        format!("{auditor:?}"),
        "Auditor { sealed: SealedLabels(4000 labels) }"
    );
}

#[test]
fn taking_labels_the_pair_as_selected_and_keeps_the_rest() {
    let rows = pairs(40);
    let (mut pool, sealed) = HiddenLabelPool::seal(rows.clone(), Key::new(0, "pool"));
    let mut selection = good_first(&pool);
    let rest = selection.kept.split_off(25);
    selection.left = rest
        .iter()
        .map(|k| Left {
            index: k.index,
            reason: LeaveReason::BelowThreshold,
        })
        .collect();
    let before = pool.pairs().to_vec();
    let taken = pool.take(&selection).unwrap();
    assert_eq!((taken.len(), pool.len(), pool.initial_len()), (25, 15, 40));
    assert_eq!(pool.pairs(), &before[25..]);
    assert!(taken.iter().all(|t| t.pair.chosen.text.starts_with("good")));
    assert!(taken.iter().all(|t| t.pair.score_gap.is_none()));
    let labels: Vec<_> = taken.iter().map(|t| (t.id, t.chosen_is_first)).collect();
    let auditor = Auditor::new(sealed);
    assert_eq!(auditor.precision(&labels).unwrap().correct, 25);
    let wrong: Vec<_> = labels.iter().map(|&(id, first)| (id, !first)).collect();
    assert_eq!(auditor.precision(&wrong).unwrap().correct, 0);
    let rest = pool.take(&good_first(&pool)).unwrap();
    let labels: Vec<_> = rest.iter().map(|t| (t.id, t.chosen_is_first)).collect();
    assert_eq!(
        auditor.precision(&labels).unwrap().correct,
        15,
        "ids outlive the compaction"
    );
    assert!(pool.is_empty());

    let mut wrong = rest.clone();
    for one in &mut wrong {
        one.pair = one.pair.clone().swapped();
    }
    let oracle = oracle_labels(&rows, &wrong).unwrap();
    assert!(oracle.iter().all(|p| p.chosen.text.starts_with("good")));
    assert!(oracle_labels(&rows[..1], &wrong).is_err());
}

#[test]
fn a_selection_that_does_not_fit_leaves_the_pool_alone() {
    let (mut pool, _) = HiddenLabelPool::seal(pairs(3), Key::new(0, "pool"));
    let kept = |index| Kept {
        index,
        swapped: false,
        score: 0.0,
    };
    for bad in [vec![kept(3)], vec![kept(1), kept(1)]] {
        let selection = Selection {
            kept: bad,
            left: Vec::new(),
        };
        assert!(pool.take(&selection).is_err());
        assert_eq!(pool.len(), 3);
    }
}

#[test]
fn the_seed_does_not_depend_on_direction_or_order() {
    let rows = pairs(101);
    let key = Key::new(0, "seed");
    let (seed, rest) = seed_split(rows.clone(), 0.15, key).unwrap();
    assert_eq!((seed.len(), rest.len()), (15, 86));
    let (flipped, _) = seed_split(swapped(&rows), 0.15, key).unwrap();
    assert_eq!(flipped, swapped(&seed));
    let (reversed, _) = seed_split(rows.into_iter().rev().collect(), 0.15, key).unwrap();
    assert_eq!(reversed, seed);
    assert_eq!(seed_split(pairs(2), 0.001, key).unwrap().0.len(), 1);
    assert_eq!(seed_split(pairs(2), 0.999, key).unwrap().1.len(), 1);
    for share in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(seed_split(pairs(9), share, key).is_err(), "{share}");
    }
    let error = seed_split(pairs(1), 0.5, key).unwrap_err().to_string();
    assert!(error.starts_with("number of pairs is 1: "), "{error}");
}

#[test]
fn noise_hits_an_exact_share_and_turns_gaps_around() {
    for (share, hit) in [
        (0.0, 0),
        (0.004, 0),
        (0.146, 15),
        (0.2, 20),
        (0.4, 40),
        (1.0, 100),
    ] {
        let mut rows = pairs(100);
        let indices = swap_labels(&mut rows, share, Key::new(1, "noise")).unwrap();
        assert_eq!(indices.len(), hit);
        for (i, row) in rows.iter().enumerate() {
            let is_hit = indices.contains(&i);
            assert_eq!(row.chosen.text.starts_with("bad"), is_hit);
            assert_eq!(row.score_gap, Some(if is_hit { -1.0 } else { 1.0 }));
        }
    }
    let draw = |seed| swap_labels(&mut pairs(100), 0.3, Key::new(seed, "noise")).unwrap();
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    assert!(swap_labels(&mut pairs(3), 1.5, Key::new(1, "noise")).is_err());
}

#[test]
fn shares_are_checked_and_no_part_is_empty() {
    let key = Key::new(0, "split");
    for shares in [&[][..], &[0.5, 0.4], &[1.5, -0.5], &[f64::NAN, 1.0]] {
        assert!(split_by_fraction(pairs(9), shares, key).is_err());
        assert!(split_by_hash(pairs(9), shares).is_err());
    }
    let parts = split_by_fraction(pairs(3), &SER_SHARES, key).unwrap();
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    let promptless = vec![
        PreferencePair::new("", "a", "b"),
        PreferencePair::new("", "b", "c"),
    ];
    for (rows, what) in [
        (pairs(2), "cannot split 2 rows of 2 prompts into 3 parts: "),
        (pairs(1), "cannot split 1 row of 1 prompt into 3 parts: "),
        (vec![], "cannot split 0 rows of 0 prompts into 3 parts: "),
        (promptless, "cannot split 2 rows of 1 prompt into 3 parts: "),
    ] {
        let error = split_by_fraction(rows, &SER_SHARES, key).unwrap_err();
        assert!(matches!(error, DataError::TooFewGroups { parts: 3, .. }));
        let error = error.to_string();
        assert!(error.starts_with(what), "{error}");
        assert!(error.ends_with(": give more data"), "{error}");
    }
    let parts = split_by_fraction(pairs(10), &[0.0, 1.0, 0.0], key).unwrap();
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [0, 10, 0]);
}

#[test]
fn value_stability() {
    let parts = split_by_hash(pairs(20), &[0.5, 0.5]).unwrap();
    let names: Vec<_> = parts[0].iter().map(|p| p.prompt.to_plain()).collect();
    assert_eq!(names.join(" "), HASH_SPLIT);
    let (pool, _) = HiddenLabelPool::seal(pairs(6), Key::new(0, "pool"));
    let shown: Vec<_> = pool
        .pairs()
        .iter()
        .map(|p| format!("{}:{}", p.prompt.to_plain(), p.first.text))
        .collect();
    assert_eq!(shown.join(" "), POOL);
}

const HASH_SPLIT: &str = "q5 q6 q8 q9 q10 q12 q14 q15 q18 q19";
const POOL: &str = "q2:bad 10 q1:bad 5 q4:bad 9 q5:good 9 q0:good 0 q3:bad 4";

/// Returns texts that may be in one part only: prompts, and the texts of rows without a prompt.
fn names(rows: &[PreferencePair]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for row in rows {
        if row.prompt.is_empty() {
            names.insert(format!("text {}", row.chosen.text));
            names.insert(format!("text {}", row.rejected.text));
        } else {
            names.insert(format!("prompt {}", row.prompt.to_plain()));
        }
    }
    names
}

fn rows() -> impl Strategy<Value = Vec<PreferencePair>> {
    let row = (prop::option::of(0..60_u32), 0..300_u32, 0..300_u32).prop_map(|(p, a, b)| {
        let prompt = p.map_or_else(String::new, |p| format!("q{p}"));
        PreferencePair::new(prompt, format!("a{a}"), format!("b{b}"))
    });
    prop::collection::vec(row, 40..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_group_straddles_and_nothing_is_lost(rows in rows(), seed in 0..1000_u64) {
        let key = Key::new(seed, "split");
        let shares = [0.6, 0.3, 0.1];
        for parts in [
            split_by_fraction(rows.clone(), &shares, key).unwrap(),
            split_by_hash(rows.clone(), &shares).unwrap(),
        ] {
            prop_assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), rows.len());
            let seen: Vec<_> = parts.iter().map(|part| names(part)).collect();
            for i in 0..3 {
                for j in 0..i {
                    prop_assert!(seen[i].is_disjoint(&seen[j]));
                }
            }
        }
    }

    #[test]
    fn parts_do_not_depend_on_the_order_of_rows(rows in rows(), seed in 0..1000_u64) {
        let key = Key::new(seed, "split");
        let reversed: Vec<_> = rows.iter().rev().cloned().collect();
        let shares = [0.7, 0.3];
        let sets = |parts: Vec<Vec<PreferencePair>>| parts.iter().map(|p| names(p)).collect::<Vec<_>>();
        prop_assert_eq!(
            sets(split_by_fraction(rows.clone(), &shares, key).unwrap()),
            sets(split_by_fraction(reversed.clone(), &shares, key).unwrap())
        );
        prop_assert_eq!(
            sets(split_by_hash(rows, &shares).unwrap()),
            sets(split_by_hash(reversed, &shares).unwrap())
        );
    }

    #[test]
    fn shares_are_met_up_to_one_group(sizes in prop::collection::vec(1..6_usize, 30..60), seed in 0..1000_u64) {
        let rows: Vec<_> = sizes
            .iter()
            .enumerate()
            .flat_map(|(q, &n)| (0..n).map(move |i| PreferencePair::new(format!("q{q}"), format!("a{i}"), "b")))
            .collect();
        let total = rows.len() as f64;
        let parts = split_by_fraction(rows, &[0.3, 0.5, 0.2], Key::new(seed, "split")).unwrap();
        for (part, share) in parts.iter().zip([0.3, 0.5, 0.2]) {
            prop_assert!((part.len() as f64 - share * total).abs() <= 5.0);
        }
    }

    #[test]
    fn the_pool_holds_each_pair_once(rows in rows(), seed in 0..1000_u64) {
        let content = |p: &str, a: &str, b: &str| {
            let mut texts = [a.to_owned(), b.to_owned()];
            texts.sort();
            (p.to_owned(), texts)
        };
        let mut expected = HashMap::new();
        for r in &rows {
            *expected.entry(content(&r.prompt.to_plain(), &r.chosen.text, &r.rejected.text)).or_insert(0) += 1;
        }
        let (pool, _) = HiddenLabelPool::seal(rows, Key::new(seed, "pool"));
        let mut got = HashMap::new();
        for (id, p) in pool.pairs().iter().enumerate() {
            prop_assert_eq!(p.id, id);
            *got.entry(content(&p.prompt.to_plain(), &p.first.text, &p.second.text)).or_insert(0) += 1;
        }
        prop_assert_eq!(got, expected);
    }
}
