//! Hand-worked cases of the status and the filter.

use collimate_core::{LeaveReason, Selection};
use collimate_status::{
    CostModel, Decision, Evidence, FilterConfig, LearningStatus, MinCount, PairFilter, PairRule,
    ScoreCentre, Sides, StatusError, Thresholds, probability,
};

fn config(rule: PairRule, min_count: usize) -> FilterConfig {
    FilterConfig {
        thresholds: Thresholds {
            min_count: MinCount::Absolute(min_count),
            ..Thresholds::default()
        },
        rule,
        max_kept: None,
    }
}

fn decide(rule: PairRule, min_count: usize, pairs: &[(f64, f64)]) -> Decision {
    PairFilter::new(config(rule, min_count), 0.0, pairs.len())
        .unwrap()
        .decide_probabilities(pairs)
}

/// `Some(swapped)` for a kept pair, in input order.
fn outcome(selection: &Selection, n: usize) -> Vec<Option<bool>> {
    let mut out = vec![None; n];
    for kept in &selection.kept {
        out[kept.index] = Some(kept.swapped);
    }
    out
}

fn reason(decision: &Decision, index: usize) -> LeaveReason {
    let left = &decision.selection.left;
    left.iter().find(|left| left.index == index).unwrap().reason
}

#[test]
fn either_per_pair() {
    let pairs = [
        (0.6, 0.4),
        (0.4, 0.6),
        (0.6, 0.5),
        (0.9, 0.58),
        (0.35, 0.04),
        (0.55, 0.45),
        (0.5, 0.2),
    ];
    let decision = decide(PairRule::EitherPerPair, 1, &pairs);
    assert_eq!(decision.status, None);
    assert_eq!(
        outcome(&decision.selection, 7),
        [
            Some(false),
            Some(true),
            None,
            Some(false),
            Some(false),
            None,
            None
        ]
    );
}

#[test]
fn status_one_and_two_keep_different_pairs() {
    let pairs = [(0.9, 0.58), (0.6, 0.4)];
    let easy = decide(PairRule::default(), 1, &pairs);
    assert_eq!(easy.status, Some(LearningStatus::Easy));
    assert_eq!(outcome(&easy.selection, 2), [None, Some(false)]);
    assert_eq!(reason(&easy, 0), LeaveReason::BelowThreshold);

    let rule = PairRule::HardOnly { sides: Sides::Any };
    let hard = decide(rule, 1, &pairs);
    assert_eq!(hard.status, Some(LearningStatus::Hard));
    assert_eq!(outcome(&hard.selection, 2), [Some(false), None]);
}

#[test]
fn status_two_needs_too_few_easy_pairs() {
    // One easy pair and two hard ones; two are needed.
    let pairs = [(0.6, 0.4), (0.9, 0.58), (0.04, 0.35)];
    let decision = decide(PairRule::default(), 2, &pairs);
    assert_eq!(decision.status, Some(LearningStatus::Hard));
    assert_eq!(
        outcome(&decision.selection, 3),
        [None, Some(false), Some(true)]
    );
    assert_eq!((decision.counts.easy, decision.counts.hard), (1, 2));
    assert_eq!(decision.counts.hard_same_side, 2);

    let decision = decide(PairRule::default(), 3, &pairs);
    assert_eq!(decision.status, Some(LearningStatus::Converged));
    assert!(decision.converged() && decision.selection.kept.is_empty());
    assert_eq!(reason(&decision, 1), LeaveReason::Converged);
}

#[test]
fn any_answer_counts_answers() {
    // Three confident answers in two pairs; no pair has one on each side.
    let pairs = [(0.9, 0.58), (0.5, 0.2), (0.5, 0.51)];
    let rule = |evidence| PairRule::Status {
        evidence,
        sides: Sides::Any,
    };
    let any = decide(rule(Evidence::AnyAnswer), 3, &pairs);
    assert_eq!(any.status, Some(LearningStatus::Easy));
    assert_eq!(outcome(&any.selection, 3), [Some(false), Some(false), None]);
    let both = decide(rule(Evidence::BothAnswers), 3, &pairs);
    assert_eq!(both.status, Some(LearningStatus::Converged));
}

#[test]
fn same_side_leaves_opposite_sides() {
    let pairs = [(0.9, 0.4), (0.9, 0.58), (0.1, 0.45), (0.5, 0.9)];
    let decision = decide(PairRule::HardOnly { sides: Sides::Same }, 2, &pairs);
    assert_eq!(decision.status, Some(LearningStatus::Hard));
    assert_eq!(
        outcome(&decision.selection, 4),
        [None, Some(false), Some(true), None]
    );
    assert_eq!(reason(&decision, 0), LeaveReason::OppositeSides);
    assert_eq!(reason(&decision, 3), LeaveReason::OppositeSides);
    let too_few = decide(PairRule::HardOnly { sides: Sides::Same }, 3, &pairs);
    assert_eq!(too_few.status, Some(LearningStatus::Converged));
}

#[test]
fn every_inequality_is_strict() {
    let rule = PairRule::EitherPerPair;
    // At, and one step beyond, each threshold.
    let up = 0.55_f64.next_up();
    let down = 0.45_f64.next_down();
    let pairs = [(0.55, 0.2501), (up, 0.45), (up, down), (0.55, down)];
    let decision = decide(rule, 1, &pairs);
    assert_eq!(
        outcome(&decision.selection, 4),
        [None, None, Some(false), None]
    );
    // 0.8 − 0.5 is one step beyond 0.3 in f64, 0.5 − 0.2 is not.
    let decision = decide(rule, 1, &[(0.5, 0.2), (0.5, 0.8)]);
    assert_eq!(outcome(&decision.selection, 2), [None, Some(true)]);
}

#[test]
fn a_tie_is_left_by_every_rule() {
    let rules = [
        PairRule::default(),
        PairRule::EitherPerPair,
        PairRule::EasyOnly {
            evidence: Evidence::AnyAnswer,
        },
        PairRule::HardOnly { sides: Sides::Same },
        PairRule::Unfiltered,
    ];
    for rule in rules {
        let filter = PairFilter::new(config(rule, 1), 0.0, 2).unwrap();
        let decision = filter.decide(&[(3.0, 3.0), (f32::NAN, 1.0), (1.0, f32::INFINITY)]);
        assert!(decision.selection.kept.is_empty());
        assert_eq!(reason(&decision, 0), LeaveReason::Tie, "{rule:?}");
        assert_eq!(reason(&decision, 1), LeaveReason::NotFinite, "{rule:?}");
        assert_eq!(reason(&decision, 2), LeaveReason::NotFinite, "{rule:?}");
        assert_eq!((decision.counts.ties, decision.counts.not_finite), (1, 2));
        assert!(decision.converged());
    }
}

#[test]
fn unfiltered_keeps_all_but_ties() {
    let pairs = [(0.51, 0.5), (0.5, 0.5), (0.2, 0.9)];
    let decision = decide(PairRule::Unfiltered, 100, &pairs);
    assert_eq!(decision.status, None);
    assert_eq!(
        outcome(&decision.selection, 3),
        [Some(false), None, Some(true)]
    );
}

#[test]
fn a_limit_keeps_the_largest_gaps() {
    let mut limited = config(PairRule::Unfiltered, 1);
    limited.max_kept = Some(2);
    let filter = PairFilter::new(limited, 0.0, 4).unwrap();
    let decision =
        filter.decide_probabilities(&[(0.5, 0.25), (0.25, 0.5), (0.5, 0.75), (0.1, 0.9)]);
    assert_eq!(
        outcome(&decision.selection, 4),
        [Some(false), None, None, Some(true)]
    );
    assert_eq!(reason(&decision, 1), LeaveReason::OverLimit);
    assert!(decision.selection.left.is_sorted_by_key(|left| left.index));
}

#[test]
fn the_centre_moves_the_half() {
    assert_eq!(probability(0.0, 0.0), 0.5);
    assert!((probability(1.0, 0.0) - 0.731_058_578_630_004_9).abs() < 1e-15);
    assert!((probability(-1.0, 2.0) - 0.047_425_873_177_566_78).abs() < 1e-15);
    assert_eq!(probability(f32::MAX, 0.0), 1.0);
    assert_eq!(probability(f32::MIN, 0.0), 0.0);

    // All scores are high: with centre 0 no answer is surely bad, with the seed mean some are.
    let scores = [(5.5, 4.5), (4.4, 5.6)];
    let rule = PairRule::EasyOnly {
        evidence: Evidence::BothAnswers,
    };
    let raw = PairFilter::new(config(rule, 2), 0.0, 2).unwrap();
    assert!(raw.decide(&scores).converged());
    let centre = ScoreCentre::SeedMean.value(&[4.0, 6.0]).unwrap();
    let centred = PairFilter::new(config(rule, 2), centre, 2)
        .unwrap()
        .decide(&scores);
    assert_eq!(centred.status, Some(LearningStatus::Easy));
    assert!((centred.probabilities.mean - 0.5).abs() < 1e-6);
    assert_eq!(
        ScoreCentre::SeedMean.value(&[]),
        Err(StatusError::NoSeedScores)
    );
    assert!(ScoreCentre::SeedMean.value(&[1.0, f32::NAN]).is_err());
}

#[test]
fn spread_of_probabilities() {
    let decision = decide(
        PairRule::Unfiltered,
        1,
        &[(0.2, 0.4), (f64::NAN, 0.9), (0.6, 0.8)],
    );
    let spread = decision.probabilities;
    assert!((spread.mean - 0.5).abs() < 1e-15);
    assert!((spread.sd - 0.05_f64.sqrt()).abs() < 1e-15);
    assert_eq!((spread.min, spread.max), (0.2, 0.8));
}

#[test]
fn bad_configurations_name_value_and_range() {
    let with = |change: fn(&mut FilterConfig)| {
        let mut config = FilterConfig::default();
        change(&mut config);
        PairFilter::new(config, 0.0, 10).unwrap_err().to_string()
    };
    let message = with(|c| (c.thresholds.tau_high, c.thresholds.tau_low) = (0.4, 0.6));
    assert!(
        message.contains("tau_low = 0.6 and tau_high = 0.4"),
        "{message}"
    );
    assert!(
        message.contains("0 < tau_low <= 0.5 <= tau_high < 1"),
        "{message}"
    );
    for (message, part) in [
        (with(|c| c.thresholds.tau_low = 0.0), "tau_low = 0 "),
        (with(|c| c.thresholds.tau_high = 1.0), "tau_high = 1 "),
        (with(|c| c.thresholds.tau_high = f64::NAN), "tau_high = NaN"),
        (
            with(|c| c.thresholds.tau_delta = 1.0),
            "tau_delta is 1 but must be in [0, 1)",
        ),
        (with(|c| c.thresholds.tau_delta = -0.1), "tau_delta is -0.1"),
        (
            with(|c| c.thresholds.min_count = MinCount::Absolute(0)),
            "min_count is 0",
        ),
        (
            with(|c| {
                c.thresholds.min_count = MinCount::Relative {
                    floor: 1,
                    share: 1.5,
                }
            }),
            "min_count.share is 1.5",
        ),
        (with(|c| c.max_kept = Some(0)), "max_kept is 0"),
    ] {
        assert!(message.contains(part), "{message}");
        assert_eq!(message.lines().count(), 1);
    }
    assert!(PairFilter::new(FilterConfig::default(), f64::NAN, 10).is_err());
    assert!(
        Thresholds {
            tau_high: 0.5,
            tau_low: 0.5,
            ..Thresholds::default()
        }
        .check()
        .is_ok()
    );
}

#[test]
fn configuration_files() {
    let json = r#"{"thresholds": {"tau_delta": 0.2, "min_count": {"absolute": 600}},
                   "rule": {"status": {"sides": "same"}}, "max_kept": 50}"#;
    let config: FilterConfig = serde_json::from_str(json).unwrap();
    assert_eq!(config.thresholds.tau_delta, 0.2);
    assert_eq!(config.thresholds.tau_high, 0.55);
    let rule = PairRule::Status {
        evidence: Evidence::BothAnswers,
        sides: Sides::Same,
    };
    assert_eq!(config.rule, rule);
    let back: FilterConfig =
        serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(back, config);
    for bad in [r#"{"tau": 1}"#, r#"{"rule": {"status": {"side": "same"}}}"#] {
        assert!(serde_json::from_str::<FilterConfig>(bad).is_err(), "{bad}");
    }
    let rule: PairRule = serde_json::from_str(r#""either_per_pair""#).unwrap();
    assert_eq!(rule, PairRule::EitherPerPair);
}

#[test]
fn min_count_and_cost() {
    assert_eq!(MinCount::default().count(0), 32);
    assert_eq!(MinCount::default().count(3_201), 33);
    assert_eq!(
        MinCount::Relative {
            floor: 1,
            share: 0.07
        }
        .count(100),
        7
    );
    let cost = CostModel::default();
    // Table 4 of the paper, rounded there to three digits.
    for (share, table) in [(1.0, 0.668), (0.15, 0.100), (0.6, 0.402)] {
        let loops = if share < 1.0 { 3 } else { 0 };
        assert!((cost.per_sample(share, loops) - table).abs() < 1.3e-3);
    }
    assert!((CostModel::measured(0.5, 3.6).inference - 5e-4).abs() < 1e-18);
    assert!(
        CostModel {
            inference: -1.0,
            ..cost
        }
        .check()
        .is_err()
    );
}

/// Any change of this selection changes results for users: the changelog must say so.
#[test]
fn value_stability() {
    // A small linear congruential sequence: no generator of another crate is involved.
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 * 4.0 - 2.0
    };
    let scores: Vec<(f32, f32)> = (0..24).map(|_| (next(), next())).collect();
    let filter = PairFilter::new(config(PairRule::default(), 3), 0.1, 24).unwrap();
    let decision = filter.decide(&scores);
    let kept: Vec<(usize, bool)> = decision
        .selection
        .kept
        .iter()
        .map(|k| (k.index, k.swapped))
        .collect();
    let expected = [
        (4, true),
        (7, true),
        (8, false),
        (12, true),
        (13, false),
        (14, true),
        (15, false),
        (16, true),
        (18, true),
        (22, false),
    ];
    assert_eq!(kept, expected);
}
