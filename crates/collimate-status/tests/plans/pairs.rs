//! The pair filter.

use collimate_core::{LeaveReason, Selection};
use collimate_status::{
    Decision, Evidence, FilterConfig, LearningStatus, MinCount, PairCounts, PairFilter, PairRule,
    Sides, Thresholds, probability,
};
use proptest::prelude::*;

use super::{Pieces, bits, many, pieces, scores, selection, spread, streamed};

const CENTRE: f64 = 0.25;

fn rules() -> Vec<PairRule> {
    let mut rules = vec![PairRule::EitherPerPair, PairRule::Unfiltered];
    for evidence in [Evidence::BothAnswers, Evidence::AnyAnswer] {
        rules.push(PairRule::EasyOnly { evidence });
        for sides in [Sides::Any, Sides::Same] {
            rules.push(PairRule::Status { evidence, sides });
        }
    }
    rules.extend([Sides::Any, Sides::Same].map(|sides| PairRule::HardOnly { sides }));
    rules
}

fn config(rule: PairRule, min_count: usize, max_kept: Option<usize>) -> FilterConfig {
    FilterConfig {
        thresholds: Thresholds {
            min_count: MinCount::Absolute(min_count),
            ..Thresholds::default()
        },
        rule,
        max_kept,
    }
}

fn probabilities(scores: &[(f32, f32)]) -> Vec<(f64, f64)> {
    let p = |score: f32| match score.is_finite() {
        true => probability(score, CENTRE),
        false => f64::NAN,
    };
    scores.iter().map(|&(a, b)| (p(a), p(b))).collect()
}

/// Decides with all pairs in memory, and sorts them for the limit.
fn in_memory(config: FilterConfig, pairs: &[(f64, f64)]) -> Decision {
    let t = config.thresholds;
    let high = |p: f64| p > t.tau_high;
    let low = |p: f64| p < t.tau_low;
    let finite = |&(a, b): &(f64, f64)| (0.0..=1.0).contains(&a) && (0.0..=1.0).contains(&b);
    let both = |&(a, b): &(f64, f64)| (high(a) && low(b)) || (high(b) && low(a));
    let sure_answers = |&(a, b): &(f64, f64)| [a, b].iter().filter(|&&p| high(p) || low(p)).count();
    let hard = |&(a, b): &(f64, f64)| (a - b).abs() > t.tau_delta;
    let same = |&(a, b): &(f64, f64)| (a > 0.5 && b > 0.5) || (a < 0.5 && b < 0.5);
    let decided = || pairs.iter().filter(|pair| finite(pair) && pair.0 != pair.1);
    let counts = PairCounts {
        pairs: pairs.len(),
        easy: decided().filter(|pair| both(pair)).count(),
        confident_answers: decided().map(sure_answers).sum(),
        hard: decided().filter(|pair| hard(pair)).count(),
        hard_same_side: decided().filter(|pair| hard(pair) && same(pair)).count(),
        confident: 0,
        ties: pairs
            .iter()
            .filter(|pair| finite(pair) && pair.0 == pair.1)
            .count(),
        not_finite: pairs.iter().filter(|pair| !finite(pair)).count(),
    };
    let min_count = t.min_count.count(0);
    let easy = |evidence| match evidence {
        Evidence::BothAnswers => counts.easy >= min_count,
        Evidence::AnyAnswer => counts.confident_answers >= min_count,
    };
    let enough_hard = |sides| match sides {
        Sides::Any => counts.hard >= min_count,
        Sides::Same => counts.hard_same_side >= min_count,
    };
    let status = match config.rule {
        PairRule::Status { evidence, .. } if easy(evidence) => Some(LearningStatus::Easy),
        PairRule::EasyOnly { evidence } if easy(evidence) => Some(LearningStatus::Easy),
        PairRule::Status { sides, .. } | PairRule::HardOnly { sides } if enough_hard(sides) => {
            Some(LearningStatus::Hard)
        }
        PairRule::EitherPerPair | PairRule::Unfiltered => None,
        _ => Some(LearningStatus::Converged),
    };
    let holds = |pair: &(f64, f64)| match (config.rule, status) {
        (_, Some(LearningStatus::Converged)) => Err(LeaveReason::Converged),
        (PairRule::Unfiltered, _) => Ok(true),
        (PairRule::EitherPerPair, _) => Ok(both(pair) || hard(pair)),
        (
            PairRule::Status { evidence, .. } | PairRule::EasyOnly { evidence },
            Some(LearningStatus::Easy),
        ) => Ok(match evidence {
            Evidence::BothAnswers => both(pair),
            Evidence::AnyAnswer => sure_answers(pair) > 0,
        }),
        (PairRule::Status { sides, .. } | PairRule::HardOnly { sides }, _) => {
            match hard(pair) && sides == Sides::Same && !same(pair) {
                true => Err(LeaveReason::OppositeSides),
                false => Ok(hard(pair)),
            }
        }
        _ => Ok(false),
    };
    let verdicts: Vec<_> = pairs
        .iter()
        .map(|pair| match holds(pair) {
            _ if !finite(pair) => Err(LeaveReason::NotFinite),
            _ if pair.0 == pair.1 => Err(LeaveReason::Tie),
            Ok(true) => Ok((pair.1 > pair.0, (pair.0 - pair.1).abs())),
            Ok(false) => Err(LeaveReason::BelowThreshold),
            Err(reason) => Err(reason),
        })
        .collect();
    let mut order: Vec<usize> = (0..pairs.len()).filter(|&i| verdicts[i].is_ok()).collect();
    let delta = |index: usize| verdicts[index].unwrap().1;
    order.sort_by(|&a, &b| delta(b).total_cmp(&delta(a)));
    let mut stays = vec![false; pairs.len()];
    let limit = config.max_kept.unwrap_or(usize::MAX);
    order
        .iter()
        .take(limit)
        .for_each(|&index| stays[index] = true);
    let finite: Vec<f64> = pairs
        .iter()
        .filter(|pair| finite(pair))
        .flat_map(|&(a, b)| [a, b])
        .collect();
    Decision {
        status,
        selection: selection(&verdicts, |index| match stays[index] {
            true => Ok(()),
            false => Err(LeaveReason::OverLimit),
        }),
        counts,
        min_count,
        probabilities: spread(&finite),
    }
}

fn check(config: FilterConfig, scores: &[(f32, f32)], size: usize) {
    let pairs = probabilities(scores);
    let expected = in_memory(config, &pairs);
    let filter = PairFilter::new(config, CENTRE, scores.len()).unwrap();
    let mut plan = filter.plan(pieces(scores, size)).unwrap();
    let mut of_probabilities = filter.plan_probabilities(pieces(&pairs, size)).unwrap();
    for summary in [plan.summary(), of_probabilities.summary()] {
        assert_eq!(summary.status, expected.status, "{config:?}");
        assert_eq!(summary.kept, expected.selection.kept.len(), "{config:?}");
        assert_eq!(summary.counts, expected.counts);
        assert_eq!(summary.min_count, expected.min_count);
        assert_eq!(bits(summary.probabilities), bits(expected.probabilities));
        assert_eq!(summary.converged(), expected.converged());
    }
    let same = |found: &Selection| assert!(*found == expected.selection, "{config:?}");
    same(&streamed(pieces(scores, size), |pair| plan.judge(pair)));
    same(&streamed(pieces(&pairs, size), |pair| {
        of_probabilities.judge_probabilities(pair)
    }));
    for decision in [filter.decide(scores), filter.decide_probabilities(&pairs)] {
        same(&decision.selection);
        assert_eq!(bits(decision.probabilities), bits(expected.probabilities));
        assert_eq!(
            (decision.status, decision.counts),
            (expected.status, expected.counts)
        );
    }
}

#[test]
fn many_pairs_are_filtered_as_in_memory() {
    let scores = many();
    for rule in [
        PairRule::Unfiltered,
        PairRule::EitherPerPair,
        PairRule::default(),
    ] {
        for max_kept in [None, Some(1), Some(30_000), Some(90_000), Some(200_000)] {
            check(config(rule, 100, max_kept), &scores, 10_000);
        }
    }
}

#[test]
fn an_error_of_any_pass_makes_no_plan() {
    for (max_kept, passes) in [(None, 2), (Some(1), 2)] {
        let filter = PairFilter::new(config(PairRule::Unfiltered, 1, max_kept), 0.0, 2).unwrap();
        for fails_in in 1..=passes + 1 {
            let source = Pieces {
                fails_in,
                ..pieces(&[(0.0, 1.0), (3.0, 1.0)], 1)
            };
            let plan = filter.plan(source);
            assert_eq!(plan.err(), (fails_in <= passes).then_some(fails_in));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pairs_are_filtered_as_in_memory(
        scores in scores(),
        min_count in 1_usize..12,
        max_kept in prop::option::of(1_usize..40),
        size in 1_usize..20,
    ) {
        for rule in rules() {
            check(config(rule, min_count, max_kept), &scores, size);
        }
    }

    #[test]
    fn zeros_of_either_sign_have_the_spread_of_a_sum(
        signs in prop::collection::vec(any::<bool>(), 0..6),
    ) {
        let zero = |&negative: &bool| if negative { -0.0 } else { 0.0 };
        let pairs: Vec<(f64, f64)> = signs.iter().map(|sign| (zero(sign), zero(sign))).collect();
        let filter = PairFilter::new(config(PairRule::Unfiltered, 1, None), 0.0, 2).unwrap();
        let found = filter.decide_probabilities(&pairs).probabilities;
        let values: Vec<f64> = pairs.iter().flat_map(|&(a, b)| [a, b]).collect();
        prop_assert_eq!(found.mean.to_bits(), spread(&values).mean.to_bits());
    }
}
