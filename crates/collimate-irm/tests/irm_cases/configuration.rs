//! Configurations and their files.

use collimate_irm::{CutPolicy, IrmConfig, Logps, MarginReference, NoPairReason};

use super::*;

#[test]
fn bad_configurations_name_value_and_range() {
    let with = |change: fn(&mut IrmConfig)| {
        let mut config = IrmConfig::default();
        change(&mut config);
        config.check().unwrap_err().to_string()
    };
    for (message, expected) in [
        (
            with(|c| c.gamma = 1.5),
            "gamma is 1.5 but must be in [0, 1]",
        ),
        (with(|c| c.gamma = f64::NAN), "gamma is NaN but must be"),
        (
            with(|c| c.offline_share = -0.5),
            "offline_share is -0.5 but must be in [0, 1]",
        ),
        (
            with(|c| c.bootstrap_share = 2.5),
            "bootstrap_share is 2.5 but must be at least 0, and at most half of the responses",
        ),
        (
            with(|c| c.bootstrap_share = f64::INFINITY),
            "bootstrap_share is inf but must be at least 0, and at most half",
        ),
        (
            with(|c| (c.bootstrap_share, c.responses) = (1.5, 3)),
            "bootstrap_share is 1.5 but must be",
        ),
        (
            with(|c| (c.offline_share, c.bootstrap_share) = (0.0, 0.0)),
            "offline_share + bootstrap_share is 0 but must be above 0",
        ),
        (
            with(|c| c.responses = 1),
            "responses is 1 but must be at least 2",
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
