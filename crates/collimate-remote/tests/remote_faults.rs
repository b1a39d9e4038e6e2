//! Consequences of each fault of a server, with exact numbers of requests.

mod server;

use std::ops::ControlFlow;
use std::time::{Duration, Instant, SystemTime};

use collimate_core::{GenerateError, Generator, Prompt, Sampling};
use collimate_remote::{RemoteConfig, RemoteError, RemoteGenerator};
use server::{Reply, Request, Server, answered, echo};

fn generator(config: &RemoteConfig) -> RemoteGenerator {
    RemoteGenerator::with_key(config, None).unwrap()
}

/// Starts a server whose first `faults` answers to each body are `reply`.
fn faulty(faults: usize, reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request| match request.asked < faults {
        true => reply(request),
        false => answered(request),
    })
}

fn one(server: &Server, config: &RemoteConfig) -> Result<String, RemoteError> {
    let mut got = None;
    let prompts = [Prompt::from("p")];
    let generator = generator(config);
    let outcome = generator
        .generate_each(&prompts, &Sampling::default(), |index, result| {
            assert_eq!(index, 0);
            assert!(got.replace(result).is_none(), "handed out twice");
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(outcome.stats.requests as usize, server.requests());
    assert_eq!(outcome.stats, generator.stats());
    assert_eq!(outcome.stats.retries + 1, outcome.stats.requests);
    got.unwrap().map(|completions| completions[0].text.clone())
}

type Fault = fn(&Request) -> Reply;

fn passing() -> Vec<(&'static str, Fault)> {
    vec![
        ("408", |_| Reply::status(408)),
        ("409", |_| Reply::status(409)),
        ("425", |_| Reply::status(425)),
        ("429", |_| Reply::status(429)),
        ("500", |_| Reply::status(500)),
        ("502", |_| Reply::status(502)),
        ("503", |_| Reply::status(503)),
        ("504", |_| Reply::status(504)),
        ("gave an answer", |request| {
            let mut text = echo(request, 1).to_string();
            text.truncate(text.len() / 2);
            Reply::Send(200, Vec::new(), text)
        }),
        ("<html>", |_| {
            Reply::Send(200, Vec::new(), "<html>busy</html>".into())
        }),
        ("0 choices", |request| Reply::good(&echo(request, 0))),
        ("2 choices", |request| Reply::good(&echo(request, 2))),
        ("gave no answer", |request| {
            Reply::Cut(echo(request, 1).to_string())
        }),
        ("gave no answer", |request| {
            Reply::Reset(echo(request, 1).to_string())
        }),
    ]
}

#[test]
fn faults_that_pass_are_asked_again() {
    for (name, fault) in passing() {
        let server = faulty(3, fault);
        let text = one(&server, &server.config()).unwrap();
        assert!(text.starts_with("p|"), "{name}: {text}");
        assert_eq!(server.requests(), 4, "{name}");
    }
}

#[test]
fn faults_that_stay_end_after_the_last_retry() {
    for (name, fault) in passing() {
        let server = faulty(usize::MAX, fault);
        let mut config = server.config();
        for max_retries in [0, 5] {
            config.max_retries = max_retries;
            let before = server.requests();
            let error = generator(&config)
                .generate(&[Prompt::from("p")], &Sampling::default())
                .unwrap_err();
            assert_eq!(server.requests() - before, max_retries + 1, "{name}");
            let GenerateError::Prompt { index: 0, message } = error else {
                panic!("{name}: {error}")
            };
            let attempts = ["1 attempt", "6 attempts"][usize::from(max_retries > 0)];
            for says in [name, attempts, &server.url()] {
                assert!(message.contains(says), "{name}: {message}");
            }
        }
    }
}

#[test]
fn other_refusals_are_final_at_once_and_say_what_to_do() {
    for (status, says) in [
        (400, "change the option or the prompt"),
        (401, "does not accept the key"),
        (403, "does not accept the key"),
        (404, "the URL and the name of the model"),
        (413, "change the option or the prompt"),
        (422, "change the option or the prompt"),
        (501, "the server failed"),
    ] {
        let server = faulty(1, move |_| Reply::status(status));
        let error = one(&server, &server.config()).unwrap_err();
        assert_eq!(server.requests(), 1, "{status}");
        assert!(
            matches!(&error, RemoteError::Status { status: found, attempts: 1, .. } if *found == status)
        );
        let text = error.to_string();
        for says in [
            says,
            &format!("status {status} on purpose"),
            &status.to_string(),
        ] {
            assert!(text.contains(says), "{text}");
        }
    }
    let server = faulty(1, |_| Reply::status(401));
    let config = RemoteConfig {
        api_key_env: Some("MY_KEY".into()),
        ..server.config()
    };
    let error = one(&server, &config).unwrap_err().to_string();
    assert!(error.contains("the key in MY_KEY"), "{error}");
}

#[test]
fn redirects_are_not_followed() {
    for status in [301, 302, 307, 308] {
        let elsewhere = Server::start(answered);
        let to = format!("{}/chat/completions", elsewhere.url());
        let location = to.clone();
        let server = faulty(1, move |_| {
            Reply::Send(status, vec![("Location", location.clone())], String::new())
        });
        let error = one(&server, &server.config()).unwrap_err().to_string();
        assert!(
            error.contains(&to) && error.contains("not followed"),
            "{error}"
        );
        assert_eq!((server.requests(), elsewhere.requests()), (1, 0));
    }
}

#[test]
fn answers_that_never_come_or_only_drip_end_at_the_timeout() {
    let drip =
        |request: &Request| Reply::Drip(echo(request, 1).to_string(), Duration::from_millis(50));
    let faults: [Fault; 2] = [|_| Reply::Hang, drip];
    for fault in faults {
        let server = faulty(usize::MAX, fault);
        let config = RemoteConfig {
            timeout: 0.4,
            max_retries: 1,
            ..server.config()
        };
        let begin = Instant::now();
        let error = one(&server, &config).unwrap_err();
        let seconds = begin.elapsed().as_secs_f64();
        assert!((0.8..4.0).contains(&seconds), "{seconds}");
        assert!(
            error
                .to_string()
                .contains("no complete answer within 0.4 s"),
            "{error}"
        );
        assert!(matches!(error, RemoteError::Connection { attempts: 2, .. }));
        assert_eq!(server.requests(), 2);
    }
}

#[test]
fn a_server_that_is_not_there_is_asked_again_and_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = RemoteConfig {
        base_url: format!("http://{}/v1/", listener.local_addr().unwrap()),
        model: "m".into(),
        max_retries: 2,
        backoff_first: 0.001,
        backoff_most: 0.004,
        ..RemoteConfig::default()
    };
    drop(listener);
    let generator = generator(&config);
    let error = generator
        .generate(&[Prompt::from("p")], &Sampling::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&config.base_url) && error.contains("3 attempts"),
        "{error}"
    );
    assert_eq!(generator.stats().requests, 3);
}

/// Returns the time between the first two requests, if the first was told to wait.
fn waited(header: impl Fn() -> String + Send + Sync + 'static, most: f64) -> f64 {
    let server = faulty(1, move |_| {
        Reply::Send(429, vec![("Retry-After", header())], String::new())
    });
    let config = RemoteConfig {
        retry_after_most: most,
        ..server.config()
    };
    one(&server, &config).unwrap();
    let seen = server.seen();
    (seen[1].at - seen[0].at).as_secs_f64()
}

#[test]
fn retry_after_in_seconds_is_honoured() {
    let seconds = waited(|| "1".into(), 30.0);
    assert!((0.99..10.0).contains(&seconds), "{seconds}");
}

#[test]
fn retry_after_as_a_date_is_honoured() {
    let in_two = || httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    let seconds = waited(in_two, 30.0);
    assert!((0.9..10.0).contains(&seconds), "{seconds}");
}

#[test]
fn retry_after_is_capped() {
    let seconds = waited(|| "86400".into(), 0.2);
    assert!((0.19..10.0).contains(&seconds), "{seconds}");
}
