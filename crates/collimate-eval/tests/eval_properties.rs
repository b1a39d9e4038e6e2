//! Properties of the statistics, and refused input.

use collimate_core::Key;
use collimate_eval::{
    Bootstrap, EvalError, Groups, calibration, jaccard, mean_sd, outcomes, pairwise_accuracy,
    pearson, precision_curve, reward_gap, spearman, wilson_interval,
};
use proptest::prelude::*;

fn pairs() -> impl Strategy<Value = Vec<(f32, f32)>> {
    prop::collection::vec((-4_i8..4, -4_i8..4), 1..50).prop_map(|pairs| {
        let value = |v: i8| f32::from(v) / 2.0;
        pairs
            .into_iter()
            .map(|(a, b)| (value(a), value(b)))
            .collect()
    })
}

fn key() -> Key {
    Key::new(3, "test")
}

const QUICK: Bootstrap = Bootstrap {
    resamples: 400,
    confidence: 0.9,
};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn exchanging_all_answers_mirrors_the_numbers(pairs in pairs()) {
        let back: Vec<(f32, f32)> = pairs.iter().map(|&(a, b)| (b, a)).collect();
        let (there, here) = (pairwise_accuracy(&back).unwrap(), pairwise_accuracy(&pairs).unwrap());
        prop_assert!((there.accuracy + here.accuracy - 1.0).abs() < 1e-12);
        prop_assert_eq!(there.ties, here.ties);
        let (there, here) = (reward_gap(&back, 0.0).unwrap(), reward_gap(&pairs, 0.0).unwrap());
        prop_assert_eq!(there.mean, -here.mean);
        prop_assert_eq!(there.mean_abs, here.mean_abs);
        prop_assert_eq!(there.mean_abs_same_side, here.mean_abs_same_side);
    }

    #[test]
    fn calibration_stays_in_its_ranges(pairs in pairs(), bins in 1_usize..20) {
        let result = calibration(&pairs, bins).unwrap();
        prop_assert_eq!(result.bins.iter().map(|bin| bin.count).sum::<usize>(), pairs.len());
        prop_assert!((0.0..=1.0).contains(&result.ece) && (0.0..=1.0).contains(&result.brier));
        for bin in result.bins.iter().filter(|bin| bin.count > 0) {
            prop_assert!(bin.lower - 1e-12 <= bin.confidence && bin.confidence <= bin.upper + 1e-12);
        }
        // With one bin, the error is that of the means.
        let one = calibration(&pairs, 1).unwrap();
        let accuracy = pairwise_accuracy(&pairs).unwrap().accuracy;
        prop_assert!((one.bins[0].accuracy - accuracy).abs() < 1e-12);
        prop_assert!(one.ece <= result.ece + 1e-12);
    }

    #[test]
    fn an_interval_holds_its_estimate_and_shifts_with_the_values(pairs in pairs()) {
        let values = outcomes(&pairs).unwrap();
        let plain = QUICK.mean(&values, Groups::Items, key()).unwrap();
        let (least, most) = (
            values.iter().copied().fold(f64::INFINITY, f64::min),
            values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        );
        prop_assert!(least <= plain.low && plain.low <= plain.high && plain.high <= most);
        let shifted: Vec<f64> = values.iter().map(|v| v + 2.0).collect();
        let shifted = QUICK.mean(&shifted, Groups::Items, key()).unwrap();
        prop_assert!((shifted.low - plain.low - 2.0).abs() < 1e-9);
        prop_assert!((shifted.high - plain.high - 2.0).abs() < 1e-9);
        // Groups of one item equal items.
        let own: Vec<usize> = (0..values.len()).map(|i| 7 * i).collect();
        prop_assert_eq!(QUICK.mean(&values, Groups::By(&own), key()).unwrap(), plain);
        // A system does not differ from itself.
        let same = QUICK.paired_difference(&values, &values, Groups::Items, key()).unwrap();
        prop_assert_eq!((same.low, same.estimate, same.high), (0.0, 0.0, 0.0));
    }

    #[test]
    fn correlations_ignore_scale(
        xy in prop::collection::vec((-9_i8..9, -9_i8..9), 3..40),
        scale in 1_u8..9,
    ) {
        let x: Vec<f64> = xy.iter().map(|p| f64::from(p.0)).collect();
        let y: Vec<f64> = xy.iter().map(|p| f64::from(p.1)).collect();
        let Ok(r) = pearson(&x, &y) else { return Ok(()) };
        prop_assert!((-1.0..=1.0).contains(&r));
        let scaled: Vec<f64> = x.iter().map(|v| -f64::from(scale) * v + 3.0).collect();
        prop_assert!((pearson(&scaled, &y).unwrap() + r).abs() < 1e-9);
        prop_assert!((pearson(&y, &x).unwrap() - r).abs() < 1e-12);
        let cubes: Vec<f64> = x.iter().map(|v| v * v * v).collect();
        let rank = spearman(&x, &y).unwrap();
        prop_assert!((spearman(&cubes, &y).unwrap() - rank).abs() < 1e-12);
    }

    #[test]
    fn wilson_holds_the_share(n in 1_usize..200, part in 0.0_f64..=1.0, level in 0.5_f64..0.999) {
        let successes = (part * n as f64).round();
        let interval = wilson_interval(successes, n, level).unwrap();
        prop_assert!(interval.contains(interval.estimate) || interval.high - interval.estimate > -1e-12);
        prop_assert!(interval.low >= 0.0 && interval.high <= 1.0 && interval.low < interval.high);
        let mirrored = wilson_interval(n as f64 - successes, n, level).unwrap();
        prop_assert!((mirrored.low + interval.high - 1.0).abs() < 1e-12);
    }

    #[test]
    fn coverage_falls_with_the_threshold(labels in prop::collection::vec((0.0_f64..1.0, any::<bool>()), 1..60)) {
        let confidence: Vec<f64> = labels.iter().map(|l| l.0).collect();
        let correct: Vec<bool> = labels.iter().map(|l| l.1).collect();
        let curve = precision_curve(&confidence, &correct, &[-1.0, 0.2, 0.5, 1.0]).unwrap();
        prop_assert!(curve.is_sorted_by(|a, b| a.kept >= b.kept));
        prop_assert_eq!(curve[0].coverage, 1.0);
        prop_assert_eq!(curve[3].precision, None);
        let right = correct.iter().filter(|&&c| c).count();
        prop_assert_eq!(curve[0].precision, Some(right as f64 / labels.len() as f64));
    }
}

#[test]
fn groups_widen_the_interval_of_dependent_items() {
    // 20 prompts of 10 equal outcomes each are 20 independent units, not 200.
    let values: Vec<f64> = (0..200)
        .map(|i| f64::from(u8::from((i / 10) % 2 == 0)))
        .collect();
    let prompts: Vec<usize> = (0..200).map(|i| i / 10).collect();
    let bootstrap = Bootstrap::default();
    let items = bootstrap.mean(&values, Groups::Items, key()).unwrap();
    let groups = bootstrap
        .mean(&values, Groups::By(&prompts), key())
        .unwrap();
    let ratio = (groups.high - groups.low) / (items.high - items.low);
    // √10 in the limit.
    assert!((2.6..3.7).contains(&ratio), "{ratio}");
    // With two groups of different size, the resampled mean weights by items.
    let two = bootstrap
        .mean(&[1.0, 0.0, 0.0, 0.0], Groups::By(&[5, 9, 9, 9]), key())
        .unwrap();
    assert_eq!((two.low, two.estimate, two.high), (0.0, 0.25, 1.0));
}

#[test]
fn pairing_removes_what_the_items_share() {
    let base: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i % 2 == 0))).collect();
    let mut better = base.clone();
    (better[1], better[3], better[5], better[7], better[9]) = (1.0, 1.0, 1.0, 1.0, 1.0);
    let gain = Bootstrap::default()
        .paired_difference(&better, &base, Groups::Items, key())
        .unwrap();
    assert!((gain.estimate - 0.05).abs() < 1e-12);
    assert!(gain.low > 0.0 && gain.high < 0.12, "{gain:?}");
}

#[test]
fn the_thread_count_changes_no_byte() {
    let values: Vec<f64> = (0..500).map(|i| (f64::from(i) * 0.7).sin()).collect();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| QUICK.mean(&values, Groups::Items, key()).unwrap())
    };
    assert_eq!(with(1), with(2));
    assert_eq!(with(1), with(5));
    let other = QUICK
        .mean(&values, Groups::Items, Key::new(4, "test"))
        .unwrap();
    assert_ne!(other, with(1));
}

#[test]
fn small_sets() {
    assert_eq!(jaccard::<u32>(&[], &[]), 1.0);
    assert_eq!(jaccard(&[1, 1, 2], &[2, 2]), 0.5);
    assert_eq!(jaccard(&[1], &[2]), 0.0);
    let one = mean_sd(&[0.5]).unwrap();
    assert_eq!((one.n, one.mean, one.sd), (1, 0.5, None));
}

#[test]
fn what_is_refused() {
    let empty = EvalError::TooFew {
        what: "accuracy",
        least: 1,
        given: 0,
    };
    assert_eq!(pairwise_accuracy(&[]), Err(empty));
    let nan = pairwise_accuracy(&[(0.0, 1.0), (f32::NAN, 0.0)]).unwrap_err();
    assert!(nan.to_string().contains("value 1 is NaN"), "{nan}");
    assert!(reward_gap(&[(f32::INFINITY, 0.0)], 0.0).is_err());
    assert!(calibration(&[(0.0, 1.0)], 0).is_err());
    assert!(mean_sd(&[]).is_err());
    assert_eq!(
        pearson(&[1.0, 1.0], &[1.0, 2.0]),
        Err(EvalError::Constant { what: "pearson" })
    );
    assert!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]).is_err());
    assert!(matches!(
        pearson(&[1.0], &[1.0, 2.0]),
        Err(EvalError::Length {
            left: 1,
            right: 2,
            ..
        })
    ));
    assert!(wilson_interval(3.0, 2, 0.95).is_err());
    assert!(wilson_interval(0.0, 0, 0.95).is_err());
    assert!(precision_curve(&[0.1], &[], &[0.5]).is_err());
    let few = Bootstrap {
        resamples: 10,
        ..Bootstrap::default()
    };
    let message = few
        .mean(&[1.0], Groups::Items, key())
        .unwrap_err()
        .to_string();
    assert_eq!(message, "resamples is 10 but must be at least 100");
    assert!(QUICK.mean(&[1.0], Groups::By(&[]), key()).is_err());
    assert!(serde_json::from_str::<Bootstrap>(r#"{"samples": 5}"#).is_err());
}
