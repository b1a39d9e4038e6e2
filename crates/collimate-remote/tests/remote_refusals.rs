//! A refused prompt stops no other prompt, and answers that arrived before an error are passed on.

mod server;

use std::time::Duration;

use collimate_core::{Answers, Completion, GenerateError, Generator, Prompt, Sampling, Scorer};
use collimate_remote::{RemoteConfig, RemoteGenerator, RemoteScorer, ScoreConfig};
use serde_json::{Value, json};
use server::{Reply, Request, Server, answered, echo, prompt, wanted};

fn prompts(texts: &[&str]) -> Vec<Prompt> {
    texts.iter().map(|&text| text.into()).collect()
}

/// Returns the answers that were passed on for each prompt, and the result of the call.
fn handed_out(
    config: &RemoteConfig,
    texts: &[&str],
    n: usize,
) -> (Vec<Option<Answers>>, Result<(), GenerateError>) {
    let generator = RemoteGenerator::with_key(config, None).unwrap();
    let sampling = Sampling {
        n,
        ..Sampling::default()
    };
    let mut found = vec![None; texts.len()];
    let ended = generator.hand_out(&prompts(texts), &sampling, &mut |index, answers| {
        assert!(found[index].replace(answers).is_none(), "handed out twice");
    });
    (found, ended)
}

fn filtered(request: &Request, indices: &[usize]) -> Reply {
    let mut body = echo(request, wanted(request));
    for choice in body["choices"].as_array_mut().unwrap() {
        let index = choice["index"].as_u64().unwrap() as usize;
        if indices.contains(&index) {
            choice["finish_reason"] = "content_filter".into();
            choice["message"]["content"] = "".into();
        }
    }
    Reply::good(&body)
}

type Fault = fn(&Request) -> Reply;

#[test]
fn every_kind_of_refusal_leaves_the_others_alone() {
    let kinds: [(&str, Fault, usize); 6] = [
        ("answered 400", |_| Reply::status(400), 1),
        ("answered 413", |_| Reply::status(413), 1),
        ("answered 422", |_| Reply::status(422), 1),
        ("answered 500 after 3 attempts", |_| Reply::status(500), 3),
        ("content_filter", |request| filtered(request, &[0]), 1),
        (
            "context length exceeded",
            |_| Reply::good(&json!({"error": {"message": "context length exceeded", "code": 400}})),
            1,
        ),
    ];
    for (says, fault, attempts) in kinds {
        let server = Server::start(move |request| match prompt(request).as_str() {
            "fish" => fault(request),
            _ => answered(request),
        });
        let config = RemoteConfig {
            max_retries: 2,
            ..server.config()
        };
        let (found, ended) = handed_out(&config, &["cat", "fish", "dog"], 1);
        assert!(ended.is_ok(), "{says}: {ended:?}");
        let found: Vec<Answers> = found.into_iter().map(Option::unwrap).collect();
        assert_eq!(server.requests(), 2 + attempts, "{says}");
        for at in [0, 2] {
            assert_eq!(
                (found[at].completions.len(), &found[at].refused),
                (1, &None)
            );
        }
        let reason = found[1].refused.as_ref().unwrap();
        assert!(found[1].completions.is_empty());
        assert!(reason.contains(says), "{reason}");
    }
}

#[test]
fn completions_that_came_before_a_refusal_are_kept() {
    // The second of three choices is filtered, and filtered again when requested again.
    let server = Server::start(|request| match wanted(request) {
        3 => filtered(request, &[1]),
        _ => filtered(request, &[0]),
    });
    let (found, ended) = handed_out(&server.config(), &["q"], 3);
    assert!(ended.is_ok());
    let found = found[0].as_ref().unwrap();
    assert_eq!((found.completions.len(), server.requests()), (2, 2));
    assert!(found.refused.as_ref().unwrap().contains("content_filter"));
    // Another seed may pass the filter.
    let server = Server::start(|request| match wanted(request) {
        3 => filtered(request, &[1]),
        _ => answered(request),
    });
    let (found, _) = handed_out(&server.config(), &["q"], 3);
    let found = found[0].as_ref().unwrap();
    assert_eq!((found.completions.len(), &found.refused), (3, &None));
}

#[test]
fn an_error_that_concerns_every_prompt_ends_the_call_with_what_arrived() {
    let modes: [(&str, Fault, usize); 7] = [
        ("answered 401", |_| Reply::status(401), 1),
        ("answered 404", |_| Reply::status(404), 1),
        ("answered 502", |_| Reply::status(502), 2),
        (
            "<html>",
            |_| Reply::Send(200, Vec::new(), "<html>log in</html>".into()),
            2,
        ),
        (
            "data: ",
            |_| Reply::Send(200, Vec::new(), "data: {}\n\n".into()),
            2,
        ),
        (
            "gave no answer",
            |request| Reply::Cut(echo(request, 1).to_string()),
            2,
        ),
        (
            "no finish_reason",
            |request| {
                let mut body = echo(request, 1);
                body["choices"][0]["finish_reason"] = Value::Null;
                Reply::good(&body)
            },
            2,
        ),
    ];
    for (says, fault, attempts) in modes {
        let server = Server::start(move |request| match prompt(request).as_str() {
            "c" => fault(request),
            "d" => Reply::Late(Duration::from_millis(50), Box::new(answered(request))),
            _ => answered(request),
        });
        let config = RemoteConfig {
            max_retries: 1,
            concurrency: 1,
            ..server.config()
        };
        let (found, ended) = handed_out(&config, &["a", "b", "c", "d", "e"], 1);
        let error = ended.unwrap_err().to_string();
        assert!(
            error.starts_with("prompt 2: ") && error.contains(says),
            "{error}"
        );
        // The next request may be running when the error is seen, and is then awaited.
        let arrived: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(arrived[..3], [true, true, false], "{says}");
        assert!(!arrived[4], "{says}");
        let late = usize::from(arrived[3]);
        assert_eq!(server.requests(), 2 + attempts + late, "{says}");
    }
}

#[test]
fn a_part_of_a_prompt_that_arrived_before_an_error_is_handed_out() {
    let server = Server::start(|request| match request.number {
        0 => Reply::good(&echo(request, 2)),
        _ => Reply::status(401),
    });
    let (found, ended) = handed_out(&server.config(), &["q"], 5);
    assert!(ended.unwrap_err().to_string().contains("401"));
    let found = found[0].as_ref().unwrap();
    assert_eq!((found.completions.len(), &found.refused), (2, &None));
}

#[test]
fn a_refused_item_has_the_score_that_the_options_name() {
    let server = Server::start(|request| {
        let texts = request.body["input"].as_array().unwrap();
        if texts
            .iter()
            .any(|text| text.as_str().unwrap().contains("fish"))
        {
            return Reply::status(400);
        }
        let datum = |index: usize| json!({"index": index, "probs": [0.5]});
        let data: Vec<Value> = (0..texts.len()).map(datum).collect();
        Reply::good(&json!({"data": data}))
    });
    let items = ["cat", "fish", "dog"].map(|text| (Prompt::from("q"), Completion::from(text)));
    let score = |refused: Option<f32>| {
        let options = ScoreConfig {
            refused,
            ..ScoreConfig::default()
        };
        let scorer = RemoteScorer::with_key(&server.config(), &options, None).unwrap();
        scorer.score(&items)
    };
    assert_eq!(score(Some(-2.0)).unwrap(), [0.5, -2.0, 0.5]);
    let error = score(None).unwrap_err().to_string();
    assert!(
        error.starts_with("item 1: ") && error.contains("400"),
        "{error}"
    );
    let wrong = ScoreConfig {
        refused: Some(f32::NAN),
        ..ScoreConfig::default()
    };
    let error = wrong.check().unwrap_err().to_string();
    assert!(
        error.starts_with("refused is NaN but must be a finite number"),
        "{error}"
    );
}
