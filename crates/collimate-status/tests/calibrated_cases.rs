//! Hand-worked cases of the calibrated filter and of the numbers beside it.

use collimate_core::LeaveReason;
use collimate_status::{
    CalibratedConfig, CalibratedFilter, Decision, LearningStatus, LongerWins, MinCount,
    PairCalibration, StatusError, ask_next, disagreement, gain_test,
};
use proptest::prelude::*;

fn config(min_count: usize) -> CalibratedConfig {
    CalibratedConfig {
        min_count: MinCount::Absolute(min_count),
        ..CalibratedConfig::default()
    }
}

fn filter(min_count: usize) -> CalibratedFilter {
    let calibration = PairCalibration { slope: 1.0 };
    CalibratedFilter::new(config(min_count), calibration, 100).unwrap()
}

fn kept(decision: &Decision) -> Vec<usize> {
    decision
        .selection
        .kept
        .iter()
        .map(|kept| kept.index)
        .collect()
}

fn reason(decision: &Decision, index: usize) -> LeaveReason {
    let left = &decision.selection.left;
    left.iter().find(|left| left.index == index).unwrap().reason
}

/// σ(x) = 0.9 at x = ln 9 = 2.1972.
#[test]
fn a_pair_is_kept_from_the_wanted_precision_on() {
    let scores = [
        (2.3, 0.0),
        (0.0, 2.2),
        (2.19, 0.0),
        (1.0, 1.0),
        (f32::NAN, 9.0),
    ];
    let decision = filter(2).decide(&scores);
    assert_eq!(decision.status, Some(LearningStatus::Confident));
    assert_eq!(kept(&decision), [0, 1]);
    assert!(decision.selection.kept[1].swapped && !decision.selection.kept[0].swapped);
    assert_eq!(reason(&decision, 2), LeaveReason::BelowThreshold);
    assert_eq!(reason(&decision, 3), LeaveReason::Tie);
    assert_eq!(reason(&decision, 4), LeaveReason::NotFinite);
    let counts = decision.counts;
    assert_eq!(
        (
            counts.pairs,
            counts.confident,
            counts.ties,
            counts.not_finite
        ),
        (5, 2, 1, 1)
    );
    assert!(!decision.converged());
}

#[test]
fn too_few_sure_pairs_are_a_refusal() {
    let scores = [(2.3, 0.0), (0.0, 2.2), (2.19, 0.0)];
    let decision = filter(3).decide(&scores);
    assert_eq!(decision.status, Some(LearningStatus::NoConfidence));
    assert!(decision.converged() && decision.selection.kept.is_empty());
    assert_eq!(reason(&decision, 0), LeaveReason::Converged);
    assert_eq!(reason(&decision, 2), LeaveReason::BelowThreshold);
    // Without the refusal the filter keeps as many pairs as were needed, the surest.
    assert_eq!(kept(&filter(3).going_anyway().decide(&scores)), [0, 1, 2]);
    let two = [(2.19, 0.0), (0.5, 0.0), (0.0, 1.0)];
    assert_eq!(kept(&filter(2).going_anyway().decide(&two)), [0, 2]);
}

#[test]
fn the_ceiling_of_the_annotators_lowers_the_threshold() {
    // 0.9 · 0.83 + 0.1 · 0.17 = 0.764; ln(0.764 / 0.236) = 1.1747.
    let config = CalibratedConfig {
        ceiling: Some(0.83),
        ..config(1)
    };
    assert!((config.threshold() - 0.764).abs() < 1e-12);
    let calibration = PairCalibration { slope: 1.0 };
    let filter = CalibratedFilter::new(config, calibration, 2).unwrap();
    assert_eq!(kept(&filter.decide(&[(1.18, 0.0), (1.17, 0.0)])), [0]);
}

#[test]
fn length_balance_leaves_the_least_sure_of_the_frequent_kind() {
    // Six sure pairs whose longer answer wins, two whose shorter one wins. Among the labels, half
    // are of each kind, so (2 + 1) · 0.5 / 0.5 = 3 of the six stay.
    let mut scores = vec![
        (9.0, 0.0),
        (8.0, 0.0),
        (7.0, 0.0),
        (6.0, 0.0),
        (5.0, 0.0),
        (4.0, 0.0),
    ];
    scores.extend([(3.0, 0.0), (0.0, 3.5)]);
    let mut lengths = vec![(20, 10); 6];
    lengths.extend([(10, 20), (20, 10)]);
    let labels = LongerWins {
        longer: 10,
        shorter: 10,
    };
    let decision = filter(1)
        .with_longer_wins(labels)
        .decide_of_lengths(&scores, &lengths);
    assert_eq!(kept(&decision), [0, 1, 2, 6, 7]);
    for index in 3..6 {
        assert_eq!(reason(&decision, index), LeaveReason::LengthBalance);
    }
    // Five are too few if six are needed.
    let decision = filter(6)
        .with_longer_wins(labels)
        .decide_of_lengths(&scores, &lengths);
    assert_eq!(decision.status, Some(LearningStatus::NoConfidence));
    assert_eq!(kept(&decision), [0; 0]);
    assert_eq!(reason(&decision, 0), LeaveReason::Converged);
    // All sure pairs are of one kind: (0 + 1) · 0.5 / 0.5 = 1 stays, which is too few if two are
    // needed.
    for (min_count, left) in [(1, &[0][..]), (2, &[])] {
        let one_kind = filter(min_count)
            .with_longer_wins(labels)
            .decide_of_lengths(&scores[..6], &lengths[..6]);
        assert_eq!(kept(&one_kind), left);
    }
    // (29 + 1) of 40 labels have the longer answer chosen. That is 3 : 1, as 6 : 2 is.
    let labels = LongerWins {
        longer: 29,
        shorter: 9,
    };
    let decision = filter(1)
        .with_longer_wins(labels)
        .decide_of_lengths(&scores, &lengths);
    assert_eq!(kept(&decision), [0, 1, 2, 3, 4, 5, 6, 7]);
    let off = CalibratedConfig {
        length_balance: false,
        ..config(1)
    };
    let off = CalibratedFilter::new(off, PairCalibration { slope: 1.0 }, 8).unwrap();
    let labels = LongerWins {
        longer: 0,
        shorter: 90,
    };
    assert_eq!(
        kept(
            &off.with_longer_wins(labels)
                .decide_of_lengths(&scores, &lengths)
        )
        .len(),
        8
    );
}

/// Forty sure pairs, all with the longer answer chosen. If nearly all labels are so too, the pairs
/// say nothing against the model.
#[test]
fn sure_pairs_of_one_kind_stay_if_the_labels_are_of_this_kind() {
    let scores: Vec<(f32, f32)> = (0..40).map(|i| (9.0 - 0.1 * i as f32, 0.0)).collect();
    let lengths = [(20, 10); 40];
    let decide = |longer, shorter| {
        filter(32)
            .with_longer_wins(LongerWins { longer, shorter })
            .decide_of_lengths(&scores, &lengths)
    };
    // The share is (90 + 1) / (91 + 2) = 91/93, so (0 + 1) · 91/2 = 45 pairs may stay.
    assert_eq!(kept(&decide(90, 1)), (0..40).collect::<Vec<_>>());
    // (32 + 1) / (32 + 2) = 33/34, so (0 + 1) · 33/1 = 33 pairs may stay, the surest.
    let decision = decide(32, 0);
    assert_eq!(kept(&decision), (0..33).collect::<Vec<_>>());
    assert_eq!(reason(&decision, 33), LeaveReason::LengthBalance);
    // (31 + 1) / (32 + 2) = 32/34, so (0 + 1) · 32/2 = 16 pairs may stay, but 32 are needed.
    assert_eq!(decide(31, 1).status, Some(LearningStatus::NoConfidence));
    // Labels of the other kind: (0 + 1) · 2/91 pairs may stay, which is none.
    let decision = decide(1, 90);
    assert_eq!(decision.status, Some(LearningStatus::NoConfidence));
    assert!(kept(&decision).is_empty());
}

/// The root of Σ g·(σ(b·g) − 1) + b − 1 = 0 with g = gap/m, found by bisection in Python; a = b/m.
#[test]
fn the_slope_is_the_posterior_mode() {
    let gaps = [2.0, 1.0, -1.5, 0.5, 3.0, -0.2, 1.2];
    let slope = PairCalibration::fit(&gaps).unwrap().slope;
    assert!((slope - SLOPE).abs() < 1e-9, "{slope}");
    // The probabilities do not depend on the scale of the scores.
    let tenth = gaps.map(|gap| gap / 10.0);
    let of_tenth = PairCalibration::fit(&tenth).unwrap().slope;
    assert!((of_tenth - 10.0 * SLOPE).abs() < 1e-8, "{of_tenth}");
    // Without a pair nothing is known; a model that is always wrong is worth nothing.
    assert_eq!(PairCalibration::fit(&[]).unwrap().slope, 0.0);
    assert_eq!(PairCalibration::fit(&[0.0; 3]).unwrap().slope, 0.0);
    assert_eq!(PairCalibration::fit(&[-3.0; 40]).unwrap().slope, 0.0);
    let error = PairCalibration::fit(&[1.0, f64::NAN]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the score gap of pair 1 is NaN"),
        "{error}"
    );
}

const SLOPE: f64 = 0.816991644916537;

#[test]
fn a_model_is_calibrated_to_another() {
    // Targets σ(0.5·gap) of many pairs: the slope is recovered, up to the prior's pull to 1.
    let gaps: Vec<f64> = (-2000..2000).map(|i| f64::from(i) / 500.0).collect();
    let target = PairCalibration { slope: 0.5 };
    let targets: Vec<f64> = gaps.iter().map(|gap| target.probability(*gap)).collect();
    let slope = PairCalibration::fit_targets(&gaps, &targets).unwrap().slope;
    assert!((slope - 0.5).abs() < 1e-3, "{slope}");
    assert!(PairCalibration::fit_targets(&gaps, &targets[1..]).is_err());
    let error = PairCalibration::fit_targets(&[1.0], &[1.5]).unwrap_err();
    let text = "the target of pair 0 is 1.5 but must be a probability, from 0 to 1";
    assert_eq!(error.to_string(), text);
}

#[test]
fn options_out_of_range_name_themselves() {
    for (config, text) in [
        (
            CalibratedConfig {
                precision: 0.5,
                ..config(1)
            },
            "calibrated.precision is 0.5",
        ),
        (
            CalibratedConfig {
                ceiling: Some(0.4),
                ..config(1)
            },
            "calibrated.ceiling is 0.4",
        ),
        (config(0), "calibrated.min_count is 0"),
    ] {
        let error = config.check().unwrap_err();
        assert!(matches!(error, StatusError::OutOfRange(_)));
        assert!(error.to_string().starts_with(text), "{error}");
    }
    let bad = PairCalibration { slope: f64::NAN };
    assert!(CalibratedFilter::new(config(1), bad, 1).is_err());
}

#[test]
fn a_better_model_has_a_positive_gain() {
    let folds: Vec<usize> = (0..60).map(|i| i % 5).collect();
    let before: Vec<f64> = (0..60)
        .map(|i| if i % 3 == 0 { -1.0 } else { 1.0 })
        .collect();
    let after: Vec<f64> = (0..60)
        .map(|i| if i % 9 == 0 { -1.0 } else { 1.0 })
        .collect();
    let better = gain_test(&before, &after, &folds).unwrap();
    let worse = gain_test(&after, &before, &folds).unwrap();
    assert!(better.z > 1.0 && worse.z < -1.0);
    assert!((better.mean + worse.mean).abs() < 1e-12);
    assert_eq!(gain_test(&before, &before, &folds).unwrap().z, 0.0);
    assert!(gain_test(&before, &after[1..], &folds).is_err());
    // Numbers of folds are names: large ones cost nothing.
    let named: Vec<usize> = folds.iter().map(|fold| usize::MAX - fold).collect();
    let same = gain_test(&before, &after, &named).unwrap();
    assert!((same.mean - better.mean).abs() < 1e-12);
    let mut broken = before.clone();
    broken[7] = f64::NAN;
    let error = gain_test(&broken, &after, &folds).unwrap_err();
    assert!(
        matches!(error, StatusError::PairNotFinite { index: 7, .. }),
        "{error}"
    );
    assert!(gain_test(&[1.0], &[1.0], &[0]).is_err());
}

proptest! {
    #[test]
    fn every_pair_is_in_one_list_and_kept_ones_are_sure(
        scores in proptest::collection::vec((-4.0_f32..4.0, -4.0_f32..4.0), 0..60),
        slope in 0.0_f64..3.0,
        longer in 0_usize..40,
        shorter in 0_usize..40,
        lengths in proptest::collection::vec((1_usize..9, 1_usize..9), 60),
    ) {
        let filter = CalibratedFilter::new(config(3), PairCalibration { slope }, scores.len()).unwrap();
        let balanced = filter.with_longer_wins(LongerWins { longer, shorter });
        let decision = balanced.decide_of_lengths(&scores, &lengths);
        let mut all: Vec<usize> = kept(&decision);
        all.extend(decision.selection.left.iter().map(|left| left.index));
        all.sort_unstable();
        prop_assert_eq!(all, (0..scores.len()).collect::<Vec<_>>());
        for kept in &decision.selection.kept {
            let (first, second) = scores[kept.index];
            prop_assert_eq!(kept.swapped, second > first);
            prop_assert!(kept.score >= 0.9);
        }
        // Exchanging the answers of every pair changes only the side of the labels.
        let turned: Vec<(f32, f32)> = scores.iter().map(|&(a, b)| (b, a)).collect();
        let turned_lengths: Vec<(usize, usize)> = lengths.iter().map(|&(a, b)| (b, a)).collect();
        let other = balanced.decide_of_lengths(&turned, &turned_lengths);
        prop_assert_eq!(kept(&decision), kept(&other));
        // Balancing only removes pairs.
        let plain = filter.decide(&scores);
        prop_assert!(kept(&decision).iter().all(|index| kept(&plain).contains(index)));
    }

    #[test]
    fn disagreement_is_between_0_and_ln_2(
        first in proptest::collection::vec(0.0_f64..=1.0, 1..20),
        second in 0.0_f64..=1.0,
    ) {
        let other = vec![second; first.len()];
        for d in disagreement(&[first.clone(), other]) {
            prop_assert!((0.0..=2_f64.ln() + 1e-12).contains(&d));
        }
        let same = disagreement(&[first.clone(), first.clone()]);
        prop_assert!(same.iter().all(|d| d.abs() < 1e-12));
    }

    #[test]
    fn each_group_is_asked_before_any_is_asked_twice(
        pairs in proptest::collection::vec((0.0_f64..1.0, 0_usize..6), 0..40),
        count in 0_usize..40,
    ) {
        let (d, groups): (Vec<f64>, Vec<usize>) = pairs.into_iter().unzip();
        let asked = ask_next(&d, &groups, count);
        prop_assert_eq!(asked.len(), count.min(d.len()));
        let of = |group: usize, list: &[usize]| list.iter().filter(|&&i| groups[i] == group).count();
        let all: Vec<usize> = (0..d.len()).collect();
        let most = (0..6).map(|group| of(group, &asked)).max().unwrap_or(0);
        for group in 0..6 {
            // A group lags by at most one, or all of its pairs are asked.
            prop_assert!(of(group, &asked) + 1 >= most || of(group, &asked) == of(group, &all));
        }
    }
}
