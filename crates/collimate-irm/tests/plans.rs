//! Plans over margins that are read in passes, beside sorting.

use collimate_core::{Key, LeaveReason, Passes, Purpose, Selection, Verdict};
use collimate_irm::{KeepPlan, KeepRule, keep_k, random_k, top_k};
use proptest::prelude::*;
use rand::RngExt;

const RULES: [KeepRule; 3] = [KeepRule::Largest, KeepRule::Middle, KeepRule::Random];

/// A source that gives pieces of one size, and fails in one of its passes.
struct Pieces<'a> {
    margins: &'a [f64],
    size: usize,
    passes: usize,
    fails_in: usize,
}

impl Passes for Pieces<'_> {
    type Item = f64;
    type Error = usize;

    fn pass(&mut self, take: &mut dyn FnMut(&[f64])) -> Result<(), usize> {
        self.passes += 1;
        self.margins.chunks(self.size).for_each(take);
        match self.passes == self.fails_in {
            true => Err(self.passes),
            false => Ok(()),
        }
    }
}

fn pieces(margins: &[f64], size: usize) -> Pieces<'_> {
    Pieces {
        margins,
        size,
        passes: 0,
        fails_in: 0,
    }
}

/// Sorts the numbers that a rule goes by, stably, and takes the first k.
fn by_sorting(margins: &[f64], k: usize, rule: KeepRule, key: Key) -> Selection {
    let mut finite: Vec<f64> = margins.iter().copied().filter(|m| m.is_finite()).collect();
    finite.sort_by(f64::total_cmp);
    let n = finite.len();
    let median = match n {
        0 => 0.0,
        _ => finite[(n - 1) / 2] / 2.0 + finite[n / 2] / 2.0,
    };
    let mut rng = key.rng(Purpose::Split);
    let numbers: Vec<f64> = margins
        .iter()
        .map(|&margin| {
            let draw: f64 = rng.random();
            match rule {
                _ if !margin.is_finite() => f64::NAN,
                KeepRule::Middle => -(margin - median).abs(),
                KeepRule::Random => draw,
                _ => margin,
            }
        })
        .collect();
    let mut order: Vec<usize> = (0..margins.len()).collect();
    order.retain(|&index| numbers[index].is_finite());
    order.sort_by(|&a, &b| numbers[b].partial_cmp(&numbers[a]).unwrap());
    let mut kept = vec![false; margins.len()];
    order.iter().take(k).for_each(|&index| kept[index] = true);
    let mut selection = Selection::default();
    for (index, &score) in margins.iter().enumerate() {
        let swapped = false;
        selection.add(
            index,
            match (kept[index], numbers[index].is_finite()) {
                (true, _) => Verdict::Kept { swapped, score },
                (false, true) => Verdict::Left(LeaveReason::OverLimit),
                (false, false) => Verdict::Left(LeaveReason::NotFinite),
            },
        );
    }
    selection
}

/// All verdicts of a plan.
fn streamed(margins: &[f64], k: usize, rule: KeepRule, key: Key, size: usize) -> Selection {
    let mut source = pieces(margins, size);
    let mut plan = KeepPlan::new(&mut source, k, rule, key).unwrap();
    let count = plan.count();
    let mut selection = Selection::default();
    let mut index = 0;
    let mut take = |margins: &[f64]| {
        for &margin in margins {
            selection.add(index, plan.judge(margin));
            index += 1;
        }
    };
    source.pass(&mut take).unwrap();
    assert_eq!(selection.kept.len(), count);
    selection
}

/// Compares bits, so that −0 is not 0.
fn bits(selection: &Selection) -> Vec<(usize, u64)> {
    let kept = selection.kept.iter();
    kept.map(|kept| (kept.index, kept.score.to_bits()))
        .collect()
}

fn check(margins: &[f64], k: usize, key: Key, size: usize) {
    for rule in RULES {
        let expected = by_sorting(margins, k, rule, key);
        for found in [
            streamed(margins, k, rule, key, size),
            keep_k(margins, k, rule, key),
        ] {
            assert!(bits(&found) == bits(&expected), "{rule:?} k = {k}");
            assert!(found.left == expected.left, "{rule:?} k = {k}");
        }
    }
    let largest = keep_k(margins, k, KeepRule::Largest, key);
    assert!(bits(&largest) == bits(&top_k(margins, k)));
}

/// More margins than a search collects, with ties and margins that are not finite.
#[test]
fn many_margins_are_kept_as_by_sorting() {
    let n = 150_000;
    let mut rng = Key::new(5, "margins").rng(Purpose::Data);
    let fine: Vec<f64> = (0..n).map(|_| rng.random::<f64>() - 0.5).collect();
    let coarse = fine.iter().map(|margin| (margin * 16.0).floor()).collect();
    let mut odd = fine.clone();
    for index in (0..n).step_by(3) {
        odd[index] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0][index % 5];
    }
    let kinds = [fine, coarse, odd, vec![1.5; n], vec![f64::NAN; n]];
    for margins in &kinds {
        for k in [0, 1, n / 3, n / 2, n, n + 1] {
            check(margins, k, Key::new(3, "many"), 10_000);
        }
    }
}

#[test]
fn a_distance_beyond_the_largest_number_is_not_finite() {
    // The median is −f64::MAX / 2, and the last distance is 1.5 · f64::MAX.
    let margins = [-f64::MAX, -f64::MAX, 0.0, f64::MAX];
    let selection = keep_k(&margins, 9, KeepRule::Middle, Key::new(0, "far"));
    assert_eq!(selection.kept.len(), 3);
    assert_eq!(selection.left[0].reason, LeaveReason::NotFinite);
    check(&margins, 9, Key::new(0, "far"), 1);
}

#[test]
fn an_error_of_any_pass_makes_no_plan() {
    for (rule, passes) in [
        (KeepRule::Largest, 1),
        (KeepRule::Middle, 3),
        (KeepRule::Random, 1),
    ] {
        for fails_in in 1..=passes + 1 {
            let source = Pieces {
                fails_in,
                ..pieces(&[1.0, 2.0, 3.0], 2)
            };
            let plan = KeepPlan::new(source, 2, rule, Key::new(1, "fails"));
            assert_eq!(
                plan.err(),
                (fails_in <= passes).then_some(fails_in),
                "{rule:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn margins_are_kept_as_by_sorting(
        margins in prop::collection::vec(
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
        seed in any::<u64>(),
        size in 1_usize..20,
    ) {
        check(&margins, k, Key::new(seed, "plans"), size);
    }

    #[test]
    fn a_random_selection_is_that_of_equal_margins(
        n in 0_usize..60,
        k in 0_usize..70,
        seed in any::<u64>(),
    ) {
        let key = Key::new(seed, "control");
        let plan = streamed(&vec![1.0; n], k, KeepRule::Random, key, 7);
        let indices = |selection: &Selection| -> Vec<usize> {
            selection.kept.iter().map(|kept| kept.index).collect()
        };
        prop_assert_eq!(indices(&plan), indices(&random_k(n, k, key)));
    }
}
