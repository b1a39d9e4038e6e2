//! The calibrated filter.

use collimate_core::LeaveReason;
use collimate_status::{
    CalibratedConfig, CalibratedFilter, Decision, LearningStatus, LongerWins, MinCount,
    PairCalibration, PairCounts,
};
use proptest::prelude::*;

use super::{Pieces, bits, many, pieces, scores, selection, spread, streamed};

/// Scores and lengths of a pair.
type Pair = ((f32, f32), (usize, usize));

/// The options that the tests change.
#[derive(Debug, Clone, Copy)]
struct Options {
    slope: f64,
    min_count: usize,
    longer_wins: Option<LongerWins>,
    go_anyway: bool,
}

fn filter(options: Options) -> CalibratedFilter {
    let config = CalibratedConfig {
        min_count: MinCount::Absolute(options.min_count),
        ..CalibratedConfig::default()
    };
    let calibration = PairCalibration {
        slope: options.slope,
    };
    let mut filter = CalibratedFilter::new(config, calibration, 0).unwrap();
    if let Some(longer_wins) = options.longer_wins {
        filter = filter.with_longer_wins(longer_wins);
    }
    match options.go_anyway {
        true => filter.going_anyway(),
        false => filter,
    }
}

/// Decides with all pairs in memory, sorted by how sure their labels are.
fn in_memory(options: Options, pairs: &[Pair]) -> Decision {
    let calibration = PairCalibration {
        slope: options.slope,
    };
    let threshold = CalibratedConfig::default().threshold();
    let finite = |&((a, b), _): &Pair| a.is_finite() && b.is_finite();
    let sure: Vec<f64> = pairs
        .iter()
        .map(|((a, b), _)| calibration.probability((f64::from(*a) - f64::from(*b)).abs()))
        .collect();
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.retain(|&index| finite(&pairs[index]) && pairs[index].0.0 != pairs[index].0.1);
    order.sort_by(|&a, &b| sure[b].total_cmp(&sure[a]));
    let decided = order.len();
    let confident = order
        .iter()
        .filter(|&&index| sure[index] >= threshold)
        .count();
    let passes = confident >= options.min_count;
    order.truncate(match (passes, options.go_anyway) {
        (true, _) => confident,
        (false, true) => options.min_count,
        (false, false) => 0,
    });
    // The kind of a kept pair: true if the longer answer is chosen.
    let kind = |index: usize| {
        let ((a, b), (first, second)) = pairs[index];
        let (chosen, rejected) = if b > a {
            (second, first)
        } else {
            (first, second)
        };
        (chosen != rejected).then_some(chosen > rejected)
    };
    let mut reasons = vec![Err(LeaveReason::BelowThreshold); pairs.len()];
    for &index in &order {
        reasons[index] = Ok(());
    }
    if let Some(wanted) = options.longer_wins {
        let count = |of: bool| {
            order
                .iter()
                .filter(|&&index| kind(index) == Some(of))
                .count()
        };
        let (longer, shorter) = (count(true) as f64, count(false) as f64);
        let share = wanted.share();
        let frequent = longer * (1.0 - share) > shorter * share;
        let limit = match frequent {
            true => (shorter + 1.0) * (share / (1.0 - share)),
            false => (longer + 1.0) * ((1.0 - share) / share),
        };
        let of_kind = order.iter().filter(|&&index| kind(index) == Some(frequent));
        for &index in of_kind.skip((limit + 1e-9) as usize) {
            reasons[index] = Err(LeaveReason::LengthBalance);
        }
    }
    let kept = reasons.iter().filter(|reason| reason.is_ok()).count();
    let goes = match options.go_anyway {
        true => kept > 0,
        false => passes && kept >= options.min_count,
    };
    if !goes {
        reasons.fill(Err(LeaveReason::BelowThreshold));
    }
    let verdicts: Vec<_> = pairs
        .iter()
        .enumerate()
        .map(|(index, pair)| match reasons[index] {
            _ if !finite(pair) => Err(LeaveReason::NotFinite),
            _ if pair.0.0 == pair.0.1 => Err(LeaveReason::Tie),
            Err(LeaveReason::BelowThreshold) if !goes && sure[index] >= threshold => {
                Err(LeaveReason::Converged)
            }
            reason => reason.map(|()| (pair.0.1 > pair.0.0, sure[index])),
        })
        .collect();
    let selection = selection(&verdicts, |_| Ok(()));
    let values: Vec<f64> = (0..pairs.len())
        .filter(|&index| finite(&pairs[index]))
        .map(|index| sure[index])
        .collect();
    Decision {
        status: Some(match goes {
            true => LearningStatus::Confident,
            false => LearningStatus::NoConfidence,
        }),
        selection,
        counts: PairCounts {
            pairs: pairs.len(),
            confident,
            ties: values.len() - decided,
            not_finite: pairs.len() - values.len(),
            ..PairCounts::default()
        },
        min_count: options.min_count,
        probabilities: spread(&values),
    }
}

fn check(options: Options, pairs: &[Pair], size: usize) {
    let expected = in_memory(options, pairs);
    let filter = filter(options);
    let mut plan = filter.plan(pieces(pairs, size)).unwrap();
    let summary = *plan.summary();
    assert_eq!(summary.status, expected.status, "{options:?}");
    assert_eq!(summary.kept, expected.selection.kept.len(), "{options:?}");
    assert_eq!(summary.counts, expected.counts, "{options:?}");
    assert_eq!(summary.min_count, expected.min_count);
    assert_eq!(bits(summary.probabilities), bits(expected.probabilities));
    assert_eq!(summary.converged(), expected.converged());
    let found = streamed(pieces(pairs, size), |(scores, lengths)| {
        plan.judge(scores, lengths)
    });
    assert!(found == expected.selection, "{options:?}");
    let (scores, lengths): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    let decision = filter.decide_of_lengths(&scores, &lengths);
    assert!(decision.selection == expected.selection, "{options:?}");
    assert_eq!(
        (decision.status, decision.counts),
        (expected.status, expected.counts)
    );
    assert_eq!(bits(decision.probabilities), bits(expected.probabilities));
}

#[test]
fn many_pairs_are_filtered_as_in_memory() {
    let pairs: Vec<Pair> = many()
        .into_iter()
        .enumerate()
        .map(|(index, scores)| (scores, (index % 7, index % 5)))
        .collect();
    for (longer, shorter) in [(60, 40), (1, 90), (90, 1)] {
        for (min_count, go_anyway) in [(1, false), (150_000, false), (150_000, true)] {
            let options = Options {
                slope: 0.7,
                min_count,
                longer_wins: Some(LongerWins { longer, shorter }),
                go_anyway,
            };
            check(options, &pairs, 10_000);
            let longer_wins = None;
            check(
                Options {
                    longer_wins,
                    ..options
                },
                &pairs,
                10_000,
            );
        }
    }
}

#[test]
fn a_pair_beyond_the_end_of_the_lengths_is_as_one_with_equal_lengths() {
    let scores = [(4.0, 0.0), (0.0, 5.0), (6.0, 0.0), (7.0, 0.0)];
    let filter = filter(Options {
        slope: 1.0,
        min_count: 1,
        longer_wins: Some(LongerWins::default()),
        go_anyway: false,
    });
    let some = filter.decide_of_lengths(&scores, &[(9, 1), (1, 9)]);
    let all = filter.decide_of_lengths(&scores, &[(9, 1), (1, 9), (0, 0), (3, 3), (1, 9)]);
    assert_eq!(some, all);
    // Two pairs with the longer answer chosen, none with the shorter: (0 + 1) · 0.5 / 0.5 = 1 stays.
    let left: Vec<usize> = some.selection.left.iter().map(|left| left.index).collect();
    assert_eq!(left, [0]);
    assert_eq!(filter.decide(&scores).selection.kept.len(), 4);
}

#[test]
fn an_error_of_any_pass_makes_no_plan() {
    let pairs = [
        ((9.0, 0.0), (9, 1)),
        ((8.0, 0.0), (9, 1)),
        ((0.1, 0.0), (1, 1)),
    ];
    let options = Options {
        slope: 1.0,
        min_count: 3,
        longer_wins: Some(LongerWins::default()),
        go_anyway: true,
    };
    // The counts, the surest three, the spread and the balance.
    for fails_in in 1..=5 {
        let source = Pieces {
            fails_in,
            ..pieces(&pairs, 2)
        };
        assert_eq!(
            filter(options).plan(source).err(),
            (fails_in <= 4).then_some(fails_in)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pairs_are_filtered_as_in_memory(
        scores in scores(),
        lengths in prop::collection::vec((1_usize..5, 1_usize..5), 60),
        slope in prop_oneof![1 => Just(0.0), 1 => Just(f64::MAX), 8 => 0.0_f64..3.0],
        min_count in 1_usize..30,
        (longer, shorter) in (0_usize..40, 0_usize..40),
        size in 1_usize..20,
    ) {
        let pairs: Vec<Pair> = scores.into_iter().zip(lengths).collect();
        for go_anyway in [false, true] {
            for longer_wins in [None, Some(LongerWins { longer, shorter })] {
                check(Options { slope, min_count, longer_wins, go_anyway }, &pairs, size);
            }
        }
    }
}
