//! Laws of the filter.

use collimate_core::LeaveReason;
use collimate_status::{Evidence, FilterConfig, MinCount, PairFilter, PairRule, Sides, Thresholds};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn scores() -> impl Strategy<Value = Vec<(f32, f32)>> {
    let score = prop_oneof![
        8 => -4.0_f32..4.0,
        1 => Just(0.5_f32),
        1 => Just(f32::NAN),
        1 => Just(f32::NEG_INFINITY),
    ];
    let pair = (score.clone(), score)
        .prop_flat_map(|(a, b)| prop_oneof![6 => Just((a, b)), 1 => Just((a, a))]);
    prop::collection::vec(pair, 0..60)
}

fn rule() -> impl Strategy<Value = PairRule> {
    let evidence = prop_oneof![Just(Evidence::BothAnswers), Just(Evidence::AnyAnswer)];
    let sides = prop_oneof![Just(Sides::Any), Just(Sides::Same)];
    (evidence, sides, 0..5).prop_map(|(evidence, sides, which)| match which {
        0 => PairRule::Status { evidence, sides },
        1 => PairRule::EasyOnly { evidence },
        2 => PairRule::HardOnly { sides },
        3 => PairRule::EitherPerPair,
        _ => PairRule::Unfiltered,
    })
}

fn config() -> impl Strategy<Value = FilterConfig> {
    (
        rule(),
        1_usize..6,
        0.5_f64..0.9,
        0.1_f64..=0.5,
        0.0_f64..0.6,
        prop::option::of(1_usize..20),
    )
        .prop_map(
            |(rule, count, tau_high, tau_low, tau_delta, max_kept)| FilterConfig {
                thresholds: Thresholds {
                    tau_high,
                    tau_low,
                    tau_delta,
                    min_count: MinCount::Absolute(count),
                },
                rule,
                max_kept,
            },
        )
}

fn filter(config: FilterConfig, n: usize) -> PairFilter {
    PairFilter::new(config, 0.2, n).expect("the strategy makes valid configurations")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_index_is_in_one_list(scores in scores(), config in config()) {
        let decision = filter(config, scores.len()).decide(&scores);
        let selection = &decision.selection;
        prop_assert!(selection.kept.is_sorted_by(|a, b| a.index < b.index));
        prop_assert!(selection.left.is_sorted_by(|a, b| a.index < b.index));
        let mut all: Vec<usize> = selection.kept.iter().map(|k| k.index).collect();
        all.extend(selection.left.iter().map(|l| l.index));
        all.sort_unstable();
        prop_assert_eq!(all, (0..scores.len()).collect::<Vec<_>>());
        if let Some(limit) = config.max_kept {
            prop_assert!(selection.kept.len() <= limit);
        }
        for kept in &selection.kept {
            let (a, b) = scores[kept.index];
            prop_assert_eq!(kept.swapped, b > a);
        }
    }

    #[test]
    fn exchanging_the_answers_only_flips_swapped(scores in scores(), config in config()) {
        let filter = filter(config, scores.len());
        let there = filter.decide(&scores);
        let back: Vec<(f32, f32)> = scores.iter().map(|&(a, b)| (b, a)).collect();
        let mut back = filter.decide(&back);
        for kept in &mut back.selection.kept {
            kept.swapped = !kept.swapped;
        }
        prop_assert_eq!(there.selection, back.selection);
        prop_assert_eq!(there.counts, back.counts);
        prop_assert_eq!(there.status, back.status);
    }

    #[test]
    fn stricter_thresholds_keep_a_subset(
        scores in scores(),
        config in config(),
        (high, low, delta) in (0.0_f64..0.09, 0.0_f64..0.09, 0.0_f64..0.3),
    ) {
        // With a status the kind of pair kept may change, and a limit makes room: both are left aside.
        let rule = match config.rule {
            PairRule::Status { .. } => PairRule::EitherPerPair,
            rule => rule,
        };
        let loose = FilterConfig { rule, max_kept: None, ..config };
        let mut strict = loose;
        strict.thresholds.tau_high += high;
        strict.thresholds.tau_low -= low;
        strict.thresholds.tau_delta += delta;
        let kept = |config| -> BTreeSet<usize> {
            let decision = filter(config, scores.len()).decide(&scores);
            decision.selection.kept.iter().map(|k| k.index).collect()
        };
        prop_assert!(kept(strict).is_subset(&kept(loose)));
    }

    #[test]
    fn a_permutation_of_the_pool_permutes_the_decision(
        (scores, order) in scores().prop_flat_map(|scores| {
            let order: Vec<usize> = (0..scores.len()).collect();
            (Just(scores), Just(order).prop_shuffle())
        }),
        config in config(),
    ) {
        // Equal gaps at the limit are decided by index, so no limit here.
        let filter = filter(FilterConfig { max_kept: None, ..config }, scores.len());
        let plain = filter.decide(&scores);
        let permuted: Vec<(f32, f32)> = order.iter().map(|&i| scores[i]).collect();
        let decision = filter.decide(&permuted);
        prop_assert_eq!(plain.status, decision.status);
        prop_assert_eq!(plain.counts, decision.counts);
        let mut kept: Vec<(usize, bool, u64)> = decision.selection.kept.iter()
            .map(|k| (order[k.index], k.swapped, k.score.to_bits())).collect();
        kept.sort_unstable();
        let expected: Vec<(usize, bool, u64)> = plain.selection.kept.iter()
            .map(|k| (k.index, k.swapped, k.score.to_bits())).collect();
        prop_assert_eq!(kept, expected);
        let mut left: Vec<(usize, LeaveReason)> = decision.selection.left.iter()
            .map(|l| (order[l.index], l.reason)).collect();
        left.sort_unstable();
        let expected: Vec<(usize, LeaveReason)> =
            plain.selection.left.iter().map(|l| (l.index, l.reason)).collect();
        prop_assert_eq!(left, expected);
    }

    #[test]
    fn a_common_shift_of_scores_and_centre_changes_nothing(
        pairs in prop::collection::vec((-8_i8..8, -8_i8..8), 0..40),
        shift in -16_i8..16,
    ) {
        // Quarters are exact in f32, so the shift is too.
        let at = |shift: i8| -> Vec<(f32, f32)> {
            let value = |v: i8| (f32::from(v) + f32::from(shift)) / 4.0;
            pairs.iter().map(|&(a, b)| (value(a), value(b))).collect()
        };
        let with = |centre: f64| {
            let config = FilterConfig { rule: PairRule::EitherPerPair, ..FilterConfig::default() };
            PairFilter::new(config, centre, 40).expect("valid")
        };
        let plain = with(0.0).decide(&at(0));
        let shifted = with(f64::from(shift) / 4.0).decide(&at(shift));
        prop_assert_eq!(plain, shifted);
    }
}

#[test]
fn the_thread_count_changes_no_byte() {
    // More than two chunks, with irregular values.
    let scores: Vec<(f32, f32)> = (0..10_000)
        .map(|i| {
            let x = i as f32;
            ((x * 0.37).sin() * 2.0, (x * 0.91).cos() * 1.5)
        })
        .collect();
    let filter = PairFilter::new(FilterConfig::default(), 0.1, scores.len()).unwrap();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| serde_json::to_string(&filter.decide(&scores)).unwrap())
    };
    assert_eq!(with(1), with(2));
    assert_eq!(with(1), with(7));
}
