//! Answers to requests for scores without exactly one finite number per item.

mod server;

use collimate_core::{Completion, Prompt, ScoreError, Scorer};
use collimate_remote::{RemoteConfig, RemoteScorer, ScoreConfig};
use serde_json::{Value, json};
use server::{Reply, Server};

fn items(count: usize) -> Vec<(Prompt, Completion)> {
    (0..count)
        .map(|i| (Prompt::from("q"), Completion::from(i.to_string())))
        .collect()
}

/// Returns the error for items 0 to 3 with these data from the server, and the number of requests.
fn of_four(data: Value, options: &ScoreConfig) -> (ScoreError, usize) {
    let server = Server::start(move |_| Reply::good(&json!({"data": data})));
    let config = RemoteConfig {
        max_retries: 2,
        ..server.config()
    };
    let scorer = RemoteScorer::with_key(&config, options, None).unwrap();
    let error = scorer.score(&items(4)).unwrap_err();
    (error, server.requests())
}

#[test]
fn every_item_has_one_finite_score_or_an_error() {
    let datum = |index: usize, number: Value| json!({"index": index, "probs": [number]});
    let mut good: Vec<Value> = (0..4).map(|index| datum(index, json!(1.0))).collect();
    let options = ScoreConfig::default();

    let (error, requests) = of_four(json!(good[..3]), &options);
    assert!(
        error.to_string().contains("index [0, 1, 2], but 0 to 3"),
        "{error}"
    );
    assert_eq!(requests, 3);
    let (error, _) = of_four(json!([good[0], good[1], good[1], good[3]]), &options);
    assert!(error.to_string().contains("[0, 1, 1, 3]"), "{error}");
    good[2] = datum(2, json!(1e300));
    let (error, requests) = of_four(json!(good), &options);
    assert!(
        matches!(error, ScoreError::NotFinite { index: 2, .. }),
        "{error}"
    );
    assert_eq!(requests, 1);
    good[2] = datum(2, Value::Null);
    assert!(
        of_four(json!(good), &options)
            .0
            .to_string()
            .starts_with("item 0: ")
    );
    good[2] = json!({"index": 2});
    let (error, _) = of_four(json!(good), &options);
    assert!(error.to_string().contains("item 2 has no probs"), "{error}");

    let two: Vec<Value> = (0..4)
        .map(|index| json!({"index": index, "probs": [0.5, 0.5]}))
        .collect();
    let (error, requests) = of_four(json!(two), &options);
    assert!(
        error.to_string().contains("2 classes, but class is null"),
        "{error}"
    );
    assert_eq!(requests, 1, "the next answer would say the same");
    let third = ScoreConfig {
        class: Some(2),
        ..options
    };
    let (error, _) = of_four(json!(two), &third);
    assert!(
        error.to_string().contains("2 classes, but class is 2"),
        "{error}"
    );
}
