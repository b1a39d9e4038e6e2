//! Scores over the wire of vLLM's `/classify` and `/score`.

mod server;

use std::ops::ControlFlow;

use collimate_core::{Completion, Message, Prompt, Role, Scorer};
use collimate_remote::{
    RemoteConfig, RemoteError, RemoteScorer, ScoreConfig, ScoreEndpoint, ScoreInput,
};
use serde_json::{Value, json};
use server::{Reply, Request, Server};

fn items(count: usize) -> Vec<(Prompt, Completion)> {
    (0..count)
        .map(|i| (Prompt::from("q"), Completion::from(i.to_string())))
        .collect()
}

fn scorer(server: &Server, options: &ScoreConfig) -> RemoteScorer {
    RemoteScorer::with_key(&server.config(), options, None).unwrap()
}

/// Returns the numbers at the ends of the request's texts as scores, last index first.
fn numbers(request: &Request) -> Vec<f64> {
    let texts = match request.path.as_str() {
        "/score" => &request.body["text_2"],
        _ => &request.body["input"],
    };
    let number = |text: &Value| {
        text.as_str()
            .unwrap()
            .trim_start_matches(['q', ' '])
            .parse()
            .unwrap()
    };
    texts.as_array().unwrap().iter().map(number).collect()
}

fn classified(request: &Request) -> Value {
    let data: Vec<Value> = numbers(request)
        .into_iter()
        .enumerate()
        .rev()
        .map(|(index, number)| {
            json!({"index": index, "label": "LABEL_0", "probs": [number / 2.0], "num_classes": 1})
        })
        .collect();
    json!({"data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7}})
}

#[test]
fn batches_come_back_in_order_after_faults() {
    let server = Server::start(|request| match request.asked {
        0 => Reply::status(503),
        1 => Reply::Cut(classified(request).to_string()),
        _ => Reply::good(&classified(request)),
    });
    let options = ScoreConfig {
        batch: 7,
        separator: " ".into(),
        use_activation: Some(false),
        ..ScoreConfig::default()
    };
    let scorer = scorer(&server, &options);
    let scores = scorer.score(&items(100)).unwrap();
    let expected: Vec<f32> = (0..100).map(|i| i as f32 / 2.0).collect();
    assert_eq!(scores, expected);
    assert_eq!(server.requests(), 45);
    assert!(server.good().values().all(|&count| count == 1));
    let stats = scorer.stats();
    assert_eq!(
        (stats.requests, stats.retries, stats.prompt_tokens),
        (45, 30, 15 * 7)
    );
    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/classify", "beside /v1");
    assert_eq!(seen.body["model"], "tiny");
    assert_eq!(seen.body["use_activation"], false);
    assert!(seen.body["input"][0].as_str().unwrap().starts_with("q "));
    assert!(scorer.score(&[]).unwrap().is_empty());
}

#[test]
fn the_score_endpoint_gets_two_lists() {
    let server = Server::start(|request| {
        let data: Vec<Value> = numbers(request)
            .into_iter()
            .enumerate()
            .map(|(index, score)| json!({"index": index, "object": "score", "score": score}))
            .collect();
        Reply::good(&json!({"data": data, "usage": {}}))
    });
    let options = ScoreConfig {
        endpoint: ScoreEndpoint::Score,
        ..ScoreConfig::default()
    };
    let scorer = scorer(&server, &options);
    assert_eq!(scorer.score(&items(3)).unwrap(), [0.0, 1.0, 2.0]);
    let body = &server.seen()[0].body;
    assert_eq!(body["text_1"], json!(["q", "q", "q"]));
    assert_eq!(body["text_2"], json!(["0", "1", "2"]));
    assert_eq!(scorer.stats().without_usage, 1);
}

#[test]
fn conversations_are_sent_as_messages() {
    let server = Server::start(|request| {
        let count = request.body["messages"].as_array().unwrap().len() as f64;
        Reply::good(&json!({"data": [{"index": 0, "probs": [0.25, count]}]}))
    });
    let options = ScoreConfig {
        input: ScoreInput::Messages,
        batch: 1,
        class: Some(1),
        url: Some(format!("{}/classify", server.url())),
        ..ScoreConfig::default()
    };
    let message = |role, content: &str| Message::new(role, content);
    let chat = Prompt::Chat(vec![message(Role::System, "s"), message(Role::User, "u")]);
    let mut items = vec![
        (chat, Completion::from("a")),
        (Prompt::from("u"), Completion::from("b")),
    ];
    assert_eq!(scorer(&server, &options).score(&items).unwrap(), [3.0, 2.0]);
    let seen = server.seen();
    assert!(seen.iter().all(|seen| seen.path == "/v1/classify"));
    assert!(
        seen.iter()
            .any(|seen| seen.body["messages"][2] == json!({"role": "assistant", "content": "a"}))
    );

    // One text cannot contain a conversation, so no request is sent.
    items.reverse();
    let error = scorer(&server, &ScoreConfig::default())
        .score(&items)
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("item 1: ") && text.contains("input to messages"),
        "{text}"
    );
    assert_eq!(server.requests(), 2);
}

#[test]
fn an_item_that_is_refused_does_not_take_its_batch_with_it() {
    let server = Server::start(|request| match numbers(request).contains(&5.0) {
        true => Reply::status(400),
        false => Reply::good(&classified(request)),
    });
    let options = ScoreConfig {
        batch: 4,
        ..ScoreConfig::default()
    };
    let scorer = scorer(&server, &options);
    let mut scores = vec![None; 12];
    let outcome = scorer
        .score_each(&items(12), |index, score| {
            assert!(scores[index].replace(score).is_none(), "handed out twice");
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((outcome.finished, outcome.failed), (11, 1));
    for (index, score) in scores.into_iter().map(Option::unwrap).enumerate() {
        match index {
            5 => assert!(matches!(
                score,
                Err(RemoteError::Status { status: 400, .. })
            )),
            _ => assert_eq!(score, Ok(index as f32 / 2.0)),
        }
    }
    assert_eq!(server.requests(), 3 + 4);
    let error = scorer.score(&items(12)).unwrap_err().to_string();
    assert!(error.starts_with("item 5: "), "{error}");
}

#[test]
fn a_break_leaves_the_rest() {
    let server = Server::start(|request| Reply::good(&classified(request)));
    let options = ScoreConfig {
        batch: 2,
        ..ScoreConfig::default()
    };
    let config = RemoteConfig {
        concurrency: 1,
        ..server.config()
    };
    let scorer = RemoteScorer::with_key(&config, &options, None).unwrap();
    let mut got = 0;
    let outcome = scorer
        .score_each(&items(10_000), |_, _| {
            got += 1;
            ControlFlow::Break(())
        })
        .unwrap();
    assert!(outcome.stopped);
    assert_eq!(outcome.finished, got);
    assert!(got < 10_000);
    assert_eq!(got % 2, 0, "a batch is handed out whole");
}
