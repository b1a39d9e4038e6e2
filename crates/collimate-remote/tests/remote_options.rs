//! Errors of invalid options name the value and the allowed range.

use collimate_remote::{
    Endpoint, RemoteConfig, RemoteGenerator, ScoreConfig, ScoreEndpoint, ScoreInput, TokenLimit,
};
use serde_json::json;

fn named() -> RemoteConfig {
    RemoteConfig {
        model: "m".into(),
        ..RemoteConfig::default()
    }
}

#[test]
fn remote_options() {
    assert!(named().check().is_ok());
    type Change = fn(&mut RemoteConfig);
    let wrong: [(Change, &str); 19] = [
        (|c| c.model.clear(), "model is empty but must be "),
        (
            |c| c.base_url = "127.0.0.1:8000".into(),
            "base_url is \"127.0.0.1:8000\" but must be ",
        ),
        (
            |c| c.base_url = "ftp://host/v1".into(),
            "base_url is \"ftp://host/v1\" but must be ",
        ),
        (
            |c| c.base_url = "http://host/v1?a=b".into(),
            "base_url is \"http://host/v1?a=b\" but must be ",
        ),
        (
            |c| c.base_url = "http://host/v1#a".into(),
            "base_url is \"http://host/v1#a\" but must be ",
        ),
        (|c| c.base_url = "http:///v1".into(), "base_url is "),
        (
            |c| c.api_key_env = Some("sk-proj-1".into()),
            "api_key_env is a text (not shown) but must be ",
        ),
        (
            |c| c.api_key_env = Some(String::new()),
            "api_key_env is a text (not shown) but must be ",
        ),
        (
            |c| c.n_per_request = Some(0),
            "n_per_request is 0 but must be ",
        ),
        (
            |c| c.connect_timeout = 0.0,
            "connect_timeout is 0 but must be ",
        ),
        (|c| c.timeout = f64::NAN, "timeout is NaN but must be "),
        (|c| c.timeout = 1e9, "timeout is 1000000000 but must be "),
        (
            |c| c.backoff_first = -1.0,
            "backoff_first is -1 but must be ",
        ),
        (
            |c| c.backoff_most = 0.1,
            "backoff_most is 0.1 but must be at least backoff_first",
        ),
        (
            |c| c.retry_after_most = f64::INFINITY,
            "retry_after_most is inf but must be ",
        ),
        (
            |c| c.max_retries = 1001,
            "max_retries is 1001 but must be from 0 to 1000",
        ),
        (
            |c| c.concurrency = 0,
            "concurrency is 0 but must be from 1 to 1024",
        ),
        (|c| c.concurrency = 1025, "concurrency is 1025 but must be "),
        (
            |c| _ = c.extra_body.insert("n".into(), json!(2)),
            "extra_body is an object with the field n but must be ",
        ),
    ];
    for (change, says) in wrong {
        let mut config = named();
        change(&mut config);
        let error = config.check().unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
        assert!(RemoteGenerator::with_key(&config, None).is_err());
    }
    let mut config = named();
    config.base_url = "http://me:secret@host/v1".into();
    let error = config.check().unwrap_err().to_string();
    assert!(
        error.starts_with("base_url is a URL with a user (not shown) but must be ")
            && !error.contains("secret"),
        "{error}"
    );
    config = named();
    config.endpoint = Endpoint::Completions;
    config.token_limit = TokenLimit::MaxCompletionTokens;
    assert!(
        config
            .check()
            .unwrap_err()
            .to_string()
            .starts_with("token_limit is ")
    );
}

#[test]
fn score_options() {
    assert!(ScoreConfig::default().check().is_ok());
    type Change = fn(&mut ScoreConfig);
    let wrong: [(Change, &str); 8] = [
        (|c| c.batch = 4097, "batch is 4097 but must be "),
        (
            |c| c.url = Some("nowhere".into()),
            "url is \"nowhere\" but must be ",
        ),
        (
            |c| c.input = ScoreInput::Messages,
            "batch is 32 but must be 1 if input is messages",
        ),
        (
            |c| {
                c.endpoint = ScoreEndpoint::Score;
                c.input = ScoreInput::Messages;
                c.batch = 1;
            },
            "input is messages but must be ",
        ),
        (
            |c| {
                c.endpoint = ScoreEndpoint::Score;
                c.separator = "\n".into();
            },
            "separator is \"\\n\" but must be ",
        ),
        (
            |c| {
                c.endpoint = ScoreEndpoint::Score;
                c.class = Some(1);
            },
            "class is 1 but must be ",
        ),
        (
            |c| {
                c.input = ScoreInput::Messages;
                c.batch = 1;
                c.separator = " ".into();
            },
            "separator is \" \" but must be ",
        ),
        (
            |c| _ = c.extra_body.insert("input".into(), json!(2)),
            "extra_body is an object with the field input but must be ",
        ),
    ];
    for (change, says) in wrong {
        let mut config = ScoreConfig::default();
        change(&mut config);
        let error = config.check().unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
}

#[test]
fn files_name_every_option_and_no_other() {
    let config = named();
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<RemoteConfig>(&text).unwrap(), config);
    let error = serde_json::from_str::<RemoteConfig>(r#"{"api_key": "sk-1"}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field"), "{error}");
    let text = r#"{"model": "m", "api_key_env": null, "endpoint": "completions"}"#;
    let read: RemoteConfig = serde_json::from_str(text).unwrap();
    assert_eq!(
        (read.api_key_env, read.endpoint),
        (None, Endpoint::Completions)
    );
    let config = ScoreConfig::default();
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ScoreConfig>(&text).unwrap(), config);
    assert!(serde_json::from_str::<ScoreConfig>(r#"{"model": "m"}"#).is_err());
}
