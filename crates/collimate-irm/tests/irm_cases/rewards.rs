//! Implicit rewards, margins and their ensemble.

use collimate_irm::{IrmError, Logps, ensemble};

use super::*;

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
            assert_eq!(message, format!("gamma is {gamma} but must be in [0, 1]"));
        }
    }
}
