//! The cut of the largest scores beside a stable sort.

use collimate_core::{Key, Passes, Purpose, TopCut, TopSearch};
use proptest::prelude::*;
use rand::RngExt;

/// Sorts the finite scores, stably, and takes the first k.
fn by_sorting(scores: &[f64], k: usize) -> Vec<bool> {
    let finite = |&index: &usize| scores[index].is_finite();
    let mut order: Vec<usize> = (0..scores.len()).filter(finite).collect();
    order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap());
    let mut kept = vec![false; scores.len()];
    order.iter().take(k).for_each(|&index| kept[index] = true);
    kept
}

fn kept(mut cut: TopCut, scores: &[f64]) -> Vec<bool> {
    scores.iter().map(|&score| cut.keeps(score)).collect()
}

fn find(scores: &[f64], k: usize) -> TopCut {
    let Ok(cut) = TopCut::find(k, scores);
    cut
}

/// Checks the cut, and what the cut says about itself, for one k.
fn check(scores: &[f64], k: usize) {
    let cut = find(scores, k);
    let expected = by_sorting(scores, k);
    assert!(kept(cut, scores) == expected, "k = {k}");
    let of = scores.iter().zip(&expected).filter(|(_, kept)| **kept);
    let smallest = of.clone().map(|(score, _)| *score).min_by(f64::total_cmp);
    assert_eq!(cut.count(), of.count(), "k = {k}");
    // Equal as numbers: −0 is 0.
    assert_eq!(cut.smallest(), smallest, "k = {k}");
}

/// A source that gives pieces of one size, and fails in one of its passes.
struct Pieces<'a> {
    scores: &'a [f64],
    size: usize,
    passes: usize,
    fails_in: usize,
}

impl Passes for Pieces<'_> {
    type Item = f64;
    type Error = usize;

    fn pass(&mut self, take: &mut dyn FnMut(&[f64])) -> Result<(), usize> {
        self.passes += 1;
        self.scores.chunks(self.size).for_each(take);
        match self.passes == self.fails_in {
            true => Err(self.passes),
            false => Ok(()),
        }
    }
}

/// More scores than a search collects, of every kind.
fn many() -> Vec<(&'static str, Vec<f64>)> {
    let n = 150_000;
    let mut rng = Key::new(5, "scores").rng(Purpose::Data);
    let mut draws = |of: &mut dyn FnMut(f64) -> f64| -> Vec<f64> {
        (0..n).map(|_| of(rng.random::<f64>() - 0.5)).collect()
    };
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0];
    let mut turn = 0;
    vec![
        ("uniform", draws(&mut |draw| draw)),
        ("ties", draws(&mut |draw| (draw * 16.0).floor())),
        (
            "all magnitudes",
            draws(&mut |draw| draw * 1e308 * (draw * 1e4).exp2()),
        ),
        ("equal", vec![-1.5; n]),
        (
            "close",
            draws(&mut |draw| f64::from_bits(1.5_f64.to_bits() + (draw.abs() * 2e5) as u64)),
        ),
        (
            "next to each other",
            draws(&mut |draw| f64::from_bits((draw.abs() * 400.0) as u64)),
        ),
        (
            "odd",
            draws(&mut |draw| {
                turn += 1;
                match turn % 3 {
                    0 => draw.round(),
                    _ => odd[turn % odd.len()],
                }
            }),
        ),
        ("none", vec![f64::NAN; n]),
    ]
}

#[test]
fn many_scores_are_cut_as_by_sorting() {
    for (name, scores) in many() {
        println!("{name}");
        for k in [0, 1, 2, 1000, 75_000, 75_001, 149_999, 150_000, usize::MAX] {
            check(&scores, k);
        }
    }
}

#[test]
fn close_scores_need_five_passes_and_others_fewer() {
    let close = [0.3, 0.3_f64.next_up()];
    let scores: Vec<f64> = (0..100_000).map(|index| close[index % 2]).collect();
    let mut source = Pieces {
        scores: &scores,
        size: 4096,
        passes: 0,
        fails_in: 0,
    };
    let cut = TopCut::find(70_000, &mut source).unwrap();
    assert_eq!((source.passes, cut.smallest()), (5, Some(0.3)));
    // Ties at the cut need two.
    let mixed = [0.3, -1.0, 0.3];
    let ties: Vec<f64> = (0..150_000).map(|index| mixed[index % 3]).collect();
    source.scores = &ties;
    source.passes = 0;
    let cut = TopCut::find(9, &mut source).unwrap();
    assert_eq!((source.passes, cut.smallest()), (2, Some(0.3)));
    // Equal scores need one pass, and so do few scores, none and all.
    source.scores = &[-7.5; 100_000];
    source.passes = 0;
    let cut = TopCut::find(70_000, &mut source).unwrap();
    assert_eq!((source.passes, cut.smallest()), (1, Some(-7.5)));
    for (n, k) in [(65_536, 9), (100_000, 0), (100_000, 100_000)] {
        source.scores = &scores[..n];
        source.passes = 0;
        assert_eq!(TopCut::find(k, &mut source).unwrap().count(), k);
        assert_eq!(source.passes, 1, "{k} of {n}");
    }
}

/// Returns the cut if the search takes the first scores, and two parts take the rest.
fn find_in_parts(scores: &[f64], k: usize, ends: [usize; 2]) -> TopCut {
    let mut search = TopSearch::new(k);
    loop {
        let [first, second] = ends;
        let mut parts = [search.part(), search.part()];
        parts[0].extend(&scores[first..second]);
        parts[1].extend(&scores[second..]);
        search.extend(&scores[..first]);
        parts.into_iter().for_each(|part| search.merge(part));
        if let Some(cut) = search.end_pass() {
            return cut;
        }
    }
}

#[test]
fn the_parts_of_a_pass_make_the_cut_of_the_whole() {
    let steps = |of: [f64; 2]| (0..150_000).map(move |index| of[index / 75_000]);
    let mut all = many();
    all.push(("a step up", steps([1.0, 7.0]).collect()));
    all.push(("a step down", steps([7.0, 1.0]).collect()));
    for (name, scores) in all {
        for ends in [[0, 0], [0, 150_000], [60_000, 60_001], [75_000, 149_000]] {
            for k in [50_000, usize::MAX] {
                let cut = find_in_parts(&scores, k, ends);
                assert_eq!(cut, find(&scores, k), "{name} {ends:?}");
            }
        }
    }
}

#[test]
fn an_error_of_any_pass_ends_the_search() {
    let close = [0.3, 0.3_f64.next_up()];
    let scores: Vec<f64> = (0..100_000).map(|index| close[index % 2]).collect();
    for fails_in in 1..=5 {
        let source = Pieces {
            scores: &scores,
            size: 1000,
            passes: 0,
            fails_in,
        };
        assert_eq!(TopCut::find(70_000, source), Err(fails_in));
    }
}

#[test]
fn passes_that_differ_end_with_some_cut() {
    let mixed = [0.3, -1.0];
    let large: Vec<f64> = (0..100_000).map(|index| mixed[index % 2]).collect();
    let small = [-1.0, -5.0, 7.0];
    for first in [&large[..], &small] {
        for later in [&large[..], &small, &[]] {
            let mut search = TopSearch::new(70_000);
            search.extend(first);
            while search.end_pass().is_none() {
                search.extend(later);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scores_are_cut_as_by_sorting(
        scores in prop::collection::vec(
            prop_oneof![
                4 => -4.0_f64..4.0,
                4 => (-3_i8..3).prop_map(f64::from),
                1 => any::<f64>(),
                1 => prop_oneof![Just(0.0), Just(-0.0)],
                1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
            ],
            0..80,
        ),
        k in 0_usize..100,
        size in 1_usize..20,
    ) {
        check(&scores, k);
        let source = Pieces { scores: &scores, size, passes: 0, fails_in: 0 };
        prop_assert_eq!(TopCut::find(k, source), Ok(find(&scores, k)));
    }
}
