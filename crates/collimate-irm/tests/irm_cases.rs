//! Hand-worked cases of rewards, margins, selection and bootstrapping.

use collimate_core::{Key, LeaveReason, Selection};
use collimate_irm::{
    BestWorst, CutPolicy, ImplicitReward, IrmConfig, IrmError, Logps, MarginReference,
    NoPairReason, Response, ResponseCounts, best_and_worst, bootstrap_pairs, ensemble,
    nested_pairs, random_k, share_count, top_k,
};

const KINDS: [ImplicitReward; 3] = [
    ImplicitReward::LogRatio,
    ImplicitReward::LengthNormalizedLogRatio,
    ImplicitReward::MeanLogp,
];

fn chosen() -> Logps<'static, f64> {
    Logps {
        policy: &[-12.0, -8.0],
        reference: Some(&[-12.5, -7.0]),
        tokens: Some(&[6, 4]),
    }
}

fn rejected() -> Logps<'static, f64> {
    Logps {
        policy: &[-14.0, -7.5],
        reference: Some(&[-13.0, -8.0]),
        tokens: Some(&[7, 5]),
    }
}

fn kept(selection: &Selection) -> Vec<usize> {
    selection.kept.iter().map(|kept| kept.index).collect()
}

fn left(selection: &Selection) -> Vec<(usize, LeaveReason)> {
    selection
        .left
        .iter()
        .map(|left| (left.index, left.reason))
        .collect()
}

#[test]
fn rewards_of_each_kind() {
    let rewards = |kind: ImplicitReward, logps| kind.rewards(logps).unwrap();
    assert_eq!(rewards(ImplicitReward::LogRatio, chosen()), [0.5, -1.0]);
    assert_eq!(rewards(ImplicitReward::LogRatio, rejected()), [-1.0, 0.5]);
    assert_eq!(rewards(ImplicitReward::MeanLogp, chosen()), [-2.0, -2.0]);
    assert_eq!(rewards(ImplicitReward::MeanLogp, rejected()), [-2.0, -1.5]);
    let per_token = ImplicitReward::LengthNormalizedLogRatio;
    assert_eq!(rewards(per_token, chosen()), [0.5 / 6.0, -0.25]);
    assert_eq!(rewards(per_token, rejected()), [-1.0 / 7.0, 0.1]);
}

#[test]
fn margins_of_each_kind() {
    let margins = |kind: ImplicitReward| kind.margins(chosen(), rejected()).unwrap();
    // (−12 + 12.5) − (−14 + 13), (−8 + 7) − (−7.5 + 8)
    assert_eq!(margins(ImplicitReward::LogRatio), [1.5, -1.5]);
    // −12/6 + 14/7, −8/4 + 7.5/5
    assert_eq!(margins(ImplicitReward::MeanLogp), [0.0, -0.5]);
    // 0.5/6 + 1/7 = 19/84, −1/4 − 0.5/5
    let per_token = margins(ImplicitReward::LengthNormalizedLogRatio);
    assert!((per_token[0] - 19.0 / 84.0).abs() < 1e-15);
    assert!((per_token[1] + 0.35).abs() < 1e-15);
}

#[test]
fn single_precision_is_read_in_double() {
    // In f32, 16,777,216 − 0.5 would be 16,777,216.
    let chosen = Logps {
        policy: &[0.5_f32],
        reference: Some(&[16_777_216.0]),
        tokens: None,
    };
    let rewards = ImplicitReward::LogRatio.rewards(chosen).unwrap();
    assert_eq!(rewards, [-16_777_215.5]);
}

#[test]
fn what_a_kind_does_not_need_may_be_absent_or_anything() {
    let bare = Logps {
        reference: None,
        tokens: None,
        ..chosen()
    };
    let error = |kind: ImplicitReward, logps| kind.rewards(logps).unwrap_err();
    for kind in KINDS {
        assert_eq!(kind.needs_reference(), kind != ImplicitReward::MeanLogp);
        assert_eq!(kind.needs_tokens(), kind != ImplicitReward::LogRatio);
        let only = Logps {
            reference: chosen().reference.filter(|_| kind.needs_reference()),
            tokens: chosen().tokens.filter(|_| kind.needs_tokens()),
            ..bare
        };
        assert_eq!(kind.rewards(only), kind.rewards(chosen()), "{kind:?}");
    }
    let no_numbers = Logps {
        reference: Some(&[f64::NAN, f64::NAN]),
        ..chosen()
    };
    assert!(ImplicitReward::MeanLogp.rewards(no_numbers).is_ok());
    let no_counts = Logps {
        tokens: Some(&[0, 0]),
        ..chosen()
    };
    assert!(ImplicitReward::LogRatio.rewards(no_counts).is_ok());

    let message = error(ImplicitReward::LogRatio, bare).to_string();
    assert!(message.contains("implicit_reward = log_ratio needs completions.reference"));
    let message = error(ImplicitReward::MeanLogp, bare).to_string();
    assert!(message.contains("implicit_reward = mean_logp needs completions.tokens"));
    let half = Logps {
        reference: chosen().reference,
        ..bare
    };
    assert!(matches!(
        error(ImplicitReward::LengthNormalizedLogRatio, half),
        IrmError::NoTokens { .. }
    ));
}

#[test]
fn bad_inputs_name_their_place() {
    let kind = ImplicitReward::LengthNormalizedLogRatio;
    let with_chosen = |logps| kind.margins(logps, rejected()).unwrap_err().to_string();
    let with_rejected = |logps| kind.margins(chosen(), logps).unwrap_err().to_string();
    let policy = |policy| Logps {
        policy,
        ..rejected()
    };
    let reference = |reference| Logps {
        reference: Some(reference),
        ..chosen()
    };
    let tokens = |tokens| Logps {
        tokens: Some(tokens),
        ..chosen()
    };
    for (message, part) in [
        (
            with_rejected(policy(&[-1.0, f64::NAN])),
            "rejected.policy[1] is NaN",
        ),
        (
            with_rejected(policy(&[f64::NEG_INFINITY, 0.0])),
            "rejected.policy[0] is -inf",
        ),
        (
            with_chosen(reference(&[0.0, f64::INFINITY])),
            "chosen.reference[1] is inf",
        ),
        (
            with_chosen(reference(&[0.0])),
            "chosen.reference has 1 values, expected 2",
        ),
        (
            with_chosen(tokens(&[1, 2, 3])),
            "chosen.tokens has 3 values, expected 2",
        ),
        (with_chosen(tokens(&[3, 0])), "chosen.tokens[1] is 0"),
        (
            with_rejected(Logps {
                policy: &[-1.0],
                reference: Some(&[-1.0]),
                tokens: Some(&[1]),
            }),
            "rejected.policy has 1 values, expected 2",
        ),
    ] {
        assert!(message.contains(part), "{message}");
        assert_eq!(message.lines().count(), 1);
    }
}

#[test]
fn ensemble_weighs_the_previous_model_by_gamma() {
    let mean = ensemble(&[1.0, -2.0], Some(&[3.0, 4.0]), 0.25).unwrap();
    assert_eq!(mean, [1.5, -0.5]);
    assert_eq!(ensemble(&[1.0, -2.0], None, 0.25).unwrap(), [1.0, -2.0]);
    let mean = ensemble(&[1.0, 1.0], Some(&[f64::NAN, f64::INFINITY]), 0.0).unwrap();
    assert!(mean.iter().all(|value| !value.is_finite()));
    let message = ensemble(&[1.0], Some(&[1.0, 2.0]), 0.3).unwrap_err();
    assert_eq!(
        message.to_string(),
        "margins.previous has 2 values, expected 1"
    );
    for gamma in [-0.1, 1.1, f64::NAN] {
        for previous in [None, Some(&[1.0][..])] {
            let message = ensemble(&[1.0], previous, gamma).unwrap_err().to_string();
            assert_eq!(message, format!("gamma = {gamma} must be in [0, 1]"));
        }
    }
}

#[test]
fn top_k_by_hand() {
    use LeaveReason::{NotFinite, OverLimit};
    let scores = [
        0.5,
        f64::NAN,
        2.0,
        -1.0,
        0.5,
        f64::INFINITY,
        0.5,
        f64::NEG_INFINITY,
    ];
    let selection = top_k(&scores, 3);
    assert_eq!(kept(&selection), [0, 2, 4]);
    assert_eq!(
        left(&selection),
        [
            (1, NotFinite),
            (3, OverLimit),
            (5, NotFinite),
            (6, OverLimit),
            (7, NotFinite)
        ]
    );
    assert!(selection.kept.iter().all(|kept| !kept.swapped));
    assert_eq!(
        selection
            .kept
            .iter()
            .map(|kept| kept.score)
            .collect::<Vec<_>>(),
        [0.5, 2.0, 0.5]
    );

    assert_eq!(kept(&top_k(&scores, 5)), [0, 2, 3, 4, 6]);
    assert_eq!(top_k(&scores, usize::MAX), top_k(&scores, 5));
    assert!(top_k(&scores, 0).kept.is_empty());
    assert_eq!(top_k(&scores, 0).left.len(), 8);
    assert_eq!(top_k(&[], 3), Selection::default());
    assert_eq!(left(&top_k(&[f64::NAN], 1)), [(0, NotFinite)]);
}

#[test]
fn top_k_at_the_ends_of_the_number_line() {
    let tiny = f64::from_bits(1);
    let scores = [-f64::MAX, -tiny, -0.0, 0.0, tiny, f64::MAX];
    for k in 0..=6 {
        let expected: Vec<usize> = match k {
            // −0 and 0 are equal: the smaller index first.
            3 => vec![2, 4, 5],
            _ => (6 - k..6).collect(),
        };
        assert_eq!(kept(&top_k(&scores, k)), expected, "{k}");
    }
}

fn response(text: &str, reward: f64) -> Response<'_> {
    Response {
        text,
        reward,
        finished: true,
    }
}

fn cut(text: &str, reward: f64) -> Response<'_> {
    Response {
        finished: false,
        ..response(text, reward)
    }
}

#[test]
fn best_and_worst_by_hand() {
    let pair = |chosen, rejected, margin| {
        Ok(BestWorst {
            chosen,
            rejected,
            margin,
        })
    };
    let a = response("a", 1.0);
    let b = response("b", -0.5);
    let cases = [
        (vec![a, b], pair(0, 1, 1.5)),
        (vec![b, a], pair(1, 0, 1.5)),
        // Equal rewards: the smaller index.
        (
            vec![
                response("c", 0.0),
                b,
                a,
                response("d", 1.0),
                response("e", -0.5),
            ],
            pair(2, 1, 1.5),
        ),
        // Empty responses would be best and worst.
        (
            vec![response("", 9.0), a, response(" \n", -9.0), b],
            pair(1, 3, 1.5),
        ),
        // What is excluded may have any reward.
        (
            vec![response("", f64::NAN), a, cut("c", f64::NAN), b],
            pair(1, 3, 1.5),
        ),
        (vec![], Err(NoPairReason::TooFewResponses)),
        (vec![a], Err(NoPairReason::TooFewResponses)),
        (
            vec![a, response("", 0.0)],
            Err(NoPairReason::TooFewResponses),
        ),
        (
            vec![a, b, response("c", f64::NAN)],
            Err(NoPairReason::NotFinite),
        ),
        (
            vec![response("c", f64::INFINITY), a],
            Err(NoPairReason::NotFinite),
        ),
        (vec![a, response("b", 1.0)], Err(NoPairReason::EqualRewards)),
        (vec![a, a, a], Err(NoPairReason::EqualTexts)),
        (vec![a, response("a", 0.0)], Err(NoPairReason::EqualTexts)),
        (vec![a, response("a\n", 0.0)], Err(NoPairReason::EqualTexts)),
        (
            vec![a, response("b", 0.5), response("a", 0.0)],
            Err(NoPairReason::EqualTexts),
        ),
    ];
    for (responses, expected) in cases {
        let outcome = best_and_worst(&responses, CutPolicy::Drop);
        assert_eq!(outcome, expected, "{responses:?}");
    }
}

#[test]
fn cut_responses_are_used_by_policy_only() {
    let responses = [
        cut("a", 3.0),
        response("b", 1.0),
        response("c", 0.0),
        cut("d", -1.0),
    ];
    let dropped = best_and_worst(&responses, CutPolicy::Drop).unwrap();
    assert_eq!((dropped.chosen, dropped.rejected), (1, 2));
    let all = best_and_worst(&responses, CutPolicy::Keep).unwrap();
    assert_eq!((all.chosen, all.rejected), (0, 3));
    assert_eq!(
        best_and_worst(&responses[..2], CutPolicy::Drop),
        Err(NoPairReason::TooFewResponses)
    );
}

#[test]
fn bootstrapping_counts_what_it_leaves_out() {
    let prompts = [
        vec![response("a", 1.0), response("b", 0.0), cut("c", 5.0)],
        vec![response("a", 1.0), response("a", 0.0)],
        vec![response("a", 1.0), cut("", 0.0), response("\t", 0.0)],
        vec![],
        vec![response("a", 0.0), response("b", 2.0)],
    ];
    let made = bootstrap_pairs(&prompts, CutPolicy::Drop);
    let pairs: Vec<_> = made
        .pairs()
        .map(|(prompt, pair)| (prompt, pair.chosen, pair.rejected, pair.margin))
        .collect();
    assert_eq!(pairs, [(0, 0, 1, 1.0), (4, 1, 0, 2.0)]);
    assert_eq!(
        made.dropped_by_reason(),
        [
            (NoPairReason::TooFewResponses, 2),
            (NoPairReason::EqualTexts, 1)
        ]
    );
    let counts = ResponseCounts {
        responses: 10,
        empty: 2,
        cut: 1,
    };
    assert_eq!(made.counts, counts);
    let made = bootstrap_pairs(&prompts, CutPolicy::Keep);
    assert_eq!(made.counts, ResponseCounts { cut: 0, ..counts });
    assert_eq!(made.outcomes[0].unwrap().chosen, 2);
}

#[test]
fn nested_pairs_use_every_response_once() {
    let all = [
        ("a", 1.0),
        ("b", 4.0),
        ("c", 4.0),
        ("d", -2.0),
        ("e", 0.5),
        ("f", 1.0),
    ];
    let responses = all.map(|(text, reward)| Response {
        text,
        reward,
        finished: true,
    });
    let found = nested_pairs(&responses, CutPolicy::Drop).unwrap();
    assert_eq!(
        found[0],
        best_and_worst(&responses, CutPolicy::Drop).unwrap()
    );
    let found: Vec<_> = found
        .iter()
        .map(|p| (p.chosen, p.rejected, p.margin))
        .collect();
    // "a" and "f" are worth the same: they make no pair.
    assert_eq!(found, [(1, 3, 6.0), (2, 4, 3.5)]);
    assert_eq!(
        nested_pairs(&responses[..1], CutPolicy::Drop),
        Err(NoPairReason::TooFewResponses)
    );
}

#[test]
fn shares_round_to_the_nearest_count() {
    for (share, n, expected) in [
        (0.7, 10, 7),
        (0.3, 10, 3),
        (0.5, 3, 2),
        (0.3, 1, 0),
        (0.7, 1, 1),
        (1.0, 12_345_678, 12_345_678),
        (0.0, 9, 0),
        (0.7, 0, 0),
    ] {
        assert_eq!(share_count(share, n), Ok(expected), "{share} of {n}");
    }
    for share in [-0.1, 1.1, f64::NAN] {
        assert!(share_count(share, 10).is_err());
    }
}

#[test]
fn bad_configurations_name_value_and_range() {
    let with = |change: fn(&mut IrmConfig)| {
        let mut config = IrmConfig::default();
        change(&mut config);
        config.check().unwrap_err().to_string()
    };
    for (message, expected) in [
        (with(|c| c.gamma = 1.5), "gamma = 1.5 must be in [0, 1]"),
        (with(|c| c.gamma = f64::NAN), "gamma = NaN must be"),
        (
            with(|c| c.offline_share = -0.5),
            "offline_share = -0.5 must be in [0, 1]",
        ),
        (
            with(|c| c.bootstrap_share = 2.5),
            "bootstrap_share = 2.5 must be at least 0, and at most half of the responses",
        ),
        (
            with(|c| c.bootstrap_share = f64::INFINITY),
            "bootstrap_share = inf must be at least 0, and at most half",
        ),
        (
            with(|c| (c.bootstrap_share, c.responses) = (1.5, 3)),
            "bootstrap_share = 1.5 must be",
        ),
        (
            with(|c| (c.offline_share, c.bootstrap_share) = (0.0, 0.0)),
            "offline_share + bootstrap_share = 0 must be above 0",
        ),
        (
            with(|c| c.responses = 1),
            "responses = 1 must be at least 2",
        ),
    ] {
        assert!(message.starts_with(expected), "{message}");
    }
    for (offline_share, bootstrap_share) in
        [(0.7, 0.3), (0.7, 1.0), (0.0, 0.3), (0.7, 0.0), (0.7, 2.0)]
    {
        let config = IrmConfig {
            offline_share,
            bootstrap_share,
            ..IrmConfig::default()
        };
        assert_eq!(config.check(), Ok(()));
    }
}

#[test]
fn configuration_files() {
    let json = r#"{"implicit_reward": "mean_logp", "reference": "previous", "gamma": 0.1,
                   "responses": 8, "cut": "keep"}"#;
    let config: IrmConfig = serde_json::from_str(json).unwrap();
    let expected = IrmConfig {
        implicit_reward: ImplicitReward::MeanLogp,
        reference: MarginReference::Previous,
        gamma: 0.1,
        offline_share: 0.7,
        bootstrap_share: 0.3,
        responses: 8,
        cut: CutPolicy::Keep,
    };
    assert_eq!(config, expected);
    let back: IrmConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(back, config);
    let default: IrmConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(default, IrmConfig::default());
    assert_eq!(
        (default.gamma, default.responses, default.cut),
        (0.3, 4, CutPolicy::Drop)
    );
    assert_eq!(default.reference, MarginReference::Initial);
    assert_eq!(default.implicit_reward, ImplicitReward::LogRatio);
    assert!(serde_json::from_str::<IrmConfig>(r#"{"gama": 0.1}"#).is_err());
    // The name in an error is the name in a file.
    for kind in KINDS {
        let name = serde_json::to_string(&kind).unwrap();
        let bare = Logps {
            policy: &[-1.0],
            reference: None,
            tokens: None,
        };
        let message = kind.rewards(bare).unwrap_err().to_string();
        let named = format!("implicit_reward = {} needs", name.trim_matches('"'));
        assert!(message.starts_with(&named), "{message}");
    }
    let reason = serde_json::to_string(&NoPairReason::TooFewResponses).unwrap();
    assert_eq!(reason, r#""too_few_responses""#);
}

/// Any change of this selection is a change of results for users: say so in the changelog.
#[test]
fn value_stability() {
    let selection = random_k(20, 6, Key::new(42, "sera2"));
    assert_eq!(kept(&selection), [0, 5, 7, 9, 16, 18]);
    assert_eq!(selection.kept[0].score, 0.666_132_274_186_893_8);
}
