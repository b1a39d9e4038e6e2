//! Gate, ranking, agreement and the choice among pairs, by hand.

use collimate_core::{Key, LeaveReason};
use collimate_irm::{
    BestWorst, CutPolicy, KeepRule, NoPairReason, Response, ResponseCounts, best_and_worst,
    bootstrap_pairs, keep_k, nested_pairs, policy_agreement, rewards_with_start,
    unlikely_responses,
};

use super::kept;

#[test]
fn the_gate_by_hand() {
    let values = [-3.0, -1.0, -2.0, -5.0, -4.0, -1.0, -2.0, -9.0];
    // The samples of the start have the same values. Sorted upwards: −9 −5 −4 −3 −2 −2 −1 −1.
    let samples = [-9.0, -2.0, -1.0, -4.0, -5.0, -2.0, -1.0, -3.0];
    for (quantile, below) in [
        (0.0, vec![]),
        (0.12, vec![]),
        (0.125, vec![7]),
        (0.25, vec![3, 7]),
        (0.5, vec![0, 3, 4, 7]),
        // The sixth value from below is one of two equal values: both stay.
        (0.625, vec![0, 3, 4, 7]),
        (0.75, vec![0, 2, 3, 4, 6, 7]),
        (0.99, vec![0, 2, 3, 4, 6, 7]),
    ] {
        let unlikely = unlikely_responses(&values, &samples, quantile).unwrap();
        let found: Vec<usize> = (0..8).filter(|&i| unlikely[i]).collect();
        assert_eq!(found, below, "{quantile}");
    }
    let same = unlikely_responses(&[-2.0; 4], &[-2.0; 3], 0.9);
    assert_eq!(same, Ok(vec![false; 4]));
    assert_eq!(unlikely_responses(&[], &samples, 0.5), Ok(vec![]));
    assert_eq!(unlikely_responses(&[], &[], 0.5), Ok(vec![]));
    assert_eq!(unlikely_responses(&[-1.0], &[], 0.0), Ok(vec![false]));
    let text = unlikely_responses(&[-1.0], &[], 0.5)
        .unwrap_err()
        .to_string();
    assert_eq!(text, "responses.samples has 0 values, expected 1");
    for (quantile, part) in [
        (1.0, "gate is 1 but must be"),
        (-0.1, "gate is -0.1 but must be"),
        (f64::NAN, "gate is NaN but must be"),
    ] {
        let text = unlikely_responses(&values, &samples, quantile)
            .unwrap_err()
            .to_string();
        assert!(text.contains(part), "{text}");
    }
    for (values, samples, name) in [
        ([-1.0, f64::NAN], [-1.0, -2.0], "start"),
        ([-1.0, -2.0], [-1.0, f64::NAN], "samples"),
    ] {
        let text = unlikely_responses(&values, &samples, 0.5)
            .unwrap_err()
            .to_string();
        assert_eq!(
            text,
            format!("responses.{name}[1] is NaN: log-probabilities must be finite")
        );
    }
}

/// The threshold stays where the start model is, however far the policy moves.
#[test]
fn a_policy_that_has_left_the_start_loses_every_response() {
    // Sorted upwards: −4 −3 −2 −1. The first quartile is −3.
    let samples = [-1.0, -4.0, -2.0, -3.0];
    for (responses, expected) in [
        ([-1.0, -4.0, -2.0, -3.0], [false, true, false, false]),
        ([-3.0, -3.5, -6.0, -1.0], [false, true, true, false]),
        ([-5.0, -6.0, -7.0, -8.0], [true; 4]),
        ([-0.5, -0.1, -2.0, -1.0], [false; 4]),
    ] {
        let found = unlikely_responses(&responses, &samples, 0.25).unwrap();
        assert_eq!(found, expected, "{responses:?}");
    }
    // The threshold is the smallest sample if q·n is below 1, and the largest one just below q = 1.
    let at = |quantile| unlikely_responses(&[-4.5, -3.5, -1.5], &samples, quantile).unwrap();
    assert_eq!(at(0.1), [true, false, false]);
    assert_eq!(at(1.0 - f64::EPSILON / 2.0), [true; 3]);
}

#[test]
fn unlikely_responses_take_no_part_and_are_counted() {
    let response = |text, reward, unlikely| Response {
        text,
        reward,
        finished: true,
        unlikely,
    };
    let cut = Response {
        finished: false,
        ..response("c", 9.0, true)
    };
    let prompts = [
        // The extremes are unlikely.
        vec![
            response("a", 5.0, true),
            response("b", 1.0, false),
            response("c", 0.0, false),
            response("d", -5.0, true),
        ],
        // One is left; without the gate there would be two.
        vec![response("a", 1.0, false), response("b", 0.0, true)],
        // Without the gate there would be one, too: the others are empty or cut.
        vec![response("a", 1.0, true), response("", 2.0, true), cut],
        // The reward of an unlikely response may be anything.
        vec![
            response("a", f64::NAN, true),
            response("b", 1.0, false),
            response("c", 0.0, false),
        ],
    ];
    let made = bootstrap_pairs(&prompts, CutPolicy::Drop);
    let pairs: Vec<_> = made
        .pairs()
        .map(|(p, pair)| (p, pair.chosen, pair.rejected))
        .collect();
    assert_eq!(pairs, [(0, 1, 2), (3, 1, 2)]);
    assert_eq!(
        made.dropped_by_reason(),
        [
            (NoPairReason::TooFewResponses, 1),
            (NoPairReason::Unlikely, 1)
        ]
    );
    let counts = ResponseCounts {
        responses: 12,
        empty: 1,
        cut: 1,
        unlikely: 5,
    };
    assert_eq!(made.counts, counts);
    // A response that was cut is used if the policy says so, and if it is likely.
    assert_eq!(
        best_and_worst(&prompts[2], CutPolicy::Keep),
        Err(NoPairReason::Unlikely)
    );
    assert_eq!(nested_pairs(&prompts[0], CutPolicy::Drop).unwrap().len(), 1);
}

#[test]
fn ranking_by_hand() {
    // Rewards 0, 2, 4: mean 2, variance 8/3. Likelihoods −1, −1, −4: mean −2, variance 2.
    let rewards = rewards_with_start(&[0.0, 2.0, 4.0], &[-1.0, -1.0, -4.0], 2.0).unwrap();
    let (r, s) = ((8.0_f64 / 3.0).sqrt(), 2.0_f64.sqrt());
    let expected = [-2.0 / r + 2.0 / s, 2.0 / s, 2.0 / r - 4.0 / s];
    for (found, expected) in rewards.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
    // Equal values change nothing.
    let flat = rewards_with_start(&[1.0, 3.0], &[-2.0, -2.0], 5.0).unwrap();
    assert_eq!(flat, [-1.0, 1.0]);
    assert_eq!(
        rewards_with_start(&[3.0, 3.0], &[-2.0, -2.0], 1.0),
        Ok(vec![0.0; 2])
    );
    assert_eq!(rewards_with_start(&[], &[], 1.0), Ok(vec![]));
    // A reward that is not a number stays one and does not change the others.
    let found = rewards_with_start(&[1.0, f64::NAN, 3.0], &[-2.0, -2.0, -2.0], 1.0).unwrap();
    assert!(found[0] == -1.0 && found[1].is_nan() && found[2] == 1.0);
    let text = |rewards: &[f64], start: &[f64], weight| {
        let error = rewards_with_start(rewards, start, weight).unwrap_err();
        error.to_string()
    };
    assert!(text(&[1.0], &[-1.0], -1.0).contains("start_weight is -1 but must be"));
    assert_eq!(
        text(&[1.0], &[], 1.0),
        "responses.start has 0 values, expected 1"
    );
    assert!(text(&[1.0], &[f64::INFINITY], 1.0).contains("responses.start[0] is inf"));
}

#[test]
fn agreement_by_hand() {
    let pair = |prompt, chosen, rejected| {
        let margin = 1.0;
        (
            prompt,
            BestWorst {
                chosen,
                rejected,
                margin,
            },
        )
    };
    let pairs = [pair(0, 1, 0), pair(0, 2, 3), pair(2, 0, 1), pair(3, 1, 0)];
    // All four margins are 1 under the first policy.
    let first = [
        vec![0.0, 1.0, 1.0, 0.0],
        vec![],
        vec![1.0, 0.0],
        vec![0.0, 1.0],
    ];
    let second = [
        vec![0.0, 0.5, -1.0, 2.0],
        vec![],
        vec![1.0, 1.0],
        vec![-3.0, f64::NAN],
    ];
    let found = policy_agreement(&pairs, &first, &second).unwrap();
    // A tie, or a reward that is not a number, is no agreement.
    assert_eq!(found.agrees, [true, false, false, false]);
    assert_eq!(found.share(), Some(0.25));
    assert!(found.reaches(0.25) && !found.reaches(0.26));
    let none = policy_agreement(&[], &first, &second).unwrap();
    assert!(none.share().is_none() && !none.reaches(0.0));
    let text = |first: &[Vec<f64>], second: &[Vec<f64>]| {
        let found = policy_agreement(&[pair(1, 1, 0)], first, second);
        found.unwrap_err().to_string()
    };
    let full = vec![vec![0.0, 1.0]; 2];
    assert_eq!(
        text(&full, &second),
        "responses.second has 0 values, expected 2"
    );
    assert_eq!(
        text(&first, &full),
        "responses.first has 0 values, expected 2"
    );
    assert!(policy_agreement(&[pair(9, 1, 0)], &first, &second).is_err());
}

/// A pair that something else than the rewards chose: the signs are compared, not the order of the
/// pair.
#[test]
fn agreement_compares_the_signs_of_both_margins() {
    let pair = BestWorst {
        chosen: 0,
        rejected: 1,
        margin: 1.0,
    };
    for (first, second, expected) in [
        ([2.0, 1.0], [9.0, 0.0], true),
        ([1.0, 2.0], [0.0, 9.0], true),
        ([1.0, 2.0], [9.0, 0.0], false),
        ([2.0, 1.0], [0.0, 9.0], false),
        // A margin of 0 has no sign.
        ([1.0, 1.0], [1.0, 1.0], false),
        ([f64::NAN, 1.0], [2.0, 1.0], false),
    ] {
        let found = policy_agreement(&[(0, pair)], &[first], &[second]).unwrap();
        assert_eq!(found.agrees, [expected], "{first:?} {second:?}");
    }
}

#[test]
fn the_middle_by_hand() {
    let key = Key::new(0, "middle");
    // The median of the finite values is 3: distances 3, 1, -, 0, 1, 7.
    let margins = [0.0, 2.0, f64::NAN, 3.0, 4.0, 10.0];
    let middle = |k| kept(&keep_k(&margins, k, KeepRule::Middle, key));
    assert_eq!(middle(0), Vec::<usize>::new());
    assert_eq!(middle(1), [3]);
    // Two are equally near: the smaller index is kept.
    assert_eq!(middle(2), [1, 3]);
    assert_eq!(middle(3), [1, 3, 4]);
    assert_eq!(middle(9), [0, 1, 3, 4, 5]);
    let selection = keep_k(&margins, 2, KeepRule::Middle, key);
    let scores: Vec<f64> = selection.kept.iter().map(|kept| kept.score).collect();
    assert_eq!(scores, [2.0, 3.0]);
    let reasons: Vec<LeaveReason> = selection.left.iter().map(|left| left.reason).collect();
    use LeaveReason::{NotFinite, OverLimit};
    assert_eq!(reasons, [OverLimit, NotFinite, OverLimit, OverLimit]);
    // The median of an even number of values lies between the two in the middle.
    assert_eq!(
        kept(&keep_k(&[1.0, 2.0, 4.0, 9.0], 2, KeepRule::Middle, key)),
        [1, 2]
    );
    assert!(keep_k(&[], 3, KeepRule::Middle, key).kept.is_empty());
    assert!(
        keep_k(&[f64::NAN], 3, KeepRule::Middle, key)
            .kept
            .is_empty()
    );
}

/// Any change of this selection changes results for users: the changelog must say so.
#[test]
fn value_stability_of_the_random_choice() {
    let margins: Vec<f64> = (0..20).map(f64::from).collect();
    let selection = keep_k(&margins, 6, KeepRule::Random, Key::new(42, "sera2"));
    // The same draws as those of `random_k`.
    assert_eq!(kept(&selection), [0, 5, 7, 9, 16, 18]);
    assert_eq!(selection.kept[1].score, 5.0);
    let other = keep_k(&margins, 6, KeepRule::Random, Key::new(43, "sera2"));
    assert_ne!(kept(&selection), kept(&other));
}
