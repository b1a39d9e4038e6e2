//! Prompts in, completions out: endpoints, numbers of choices, one failure among many answers.

mod server;

use std::ops::ControlFlow;

use collimate_core::{Finish, GenerateError, Generator, Message, Prompt, Role, Sampling};
use collimate_remote::{Endpoint, RemoteConfig, RemoteError, RemoteGenerator, RemoteStats};
use server::{Reply, Request, Server, answered, echo, prompt, wanted};

fn generator(config: &RemoteConfig) -> RemoteGenerator {
    RemoteGenerator::with_key(config, None).unwrap()
}

#[test]
fn missing_choices_are_asked_for_with_other_seeds() {
    // The server ignores `n` and fails in between.
    let server = Server::start(|request| match request.asked {
        0 => Reply::status(500),
        _ => Reply::good(&echo(request, wanted(request).min(2))),
    });
    let sampling = Sampling {
        n: 5,
        ..Sampling::default()
    };
    let generator = generator(&server.config());
    let answers = generator.generate(&[Prompt::from("p")], &sampling).unwrap();
    let texts: Vec<&str> = answers[0].iter().map(|c| c.text.as_str()).collect();
    assert_eq!(texts.len(), 5);
    let distinct: std::collections::BTreeSet<&&str> = texts.iter().collect();
    assert_eq!(distinct.len(), 5, "{texts:?}");
    let asked: Vec<usize> = server
        .seen()
        .iter()
        .filter(|seen| seen.good)
        .map(|seen| seen.body["n"].as_u64().unwrap_or(1) as usize)
        .collect();
    assert_eq!(asked, [5, 3, 1]);
    let expected = RemoteStats {
        requests: 6,
        retries: 3,
        prompt_tokens: 9,
        completion_tokens: 10,
        without_usage: 0,
    };
    assert_eq!(generator.stats(), expected);
}

#[test]
fn n_per_request_splits_and_hides_n() {
    let server = Server::start(answered);
    let config = RemoteConfig {
        n_per_request: Some(1),
        ..server.config()
    };
    let sampling = Sampling {
        n: 3,
        ..Sampling::default()
    };
    let answers = generator(&config)
        .generate(&[Prompt::from("p")], &sampling)
        .unwrap();
    assert_eq!(answers[0].len(), 3);
    assert_eq!(server.requests(), 3);
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.body.get("n").is_none())
    );
}

#[test]
fn endpoints_get_what_they_read() {
    let server = Server::start(answered);
    let chat = Prompt::Chat(vec![Message::new(Role::User, "c")]);
    let mut config = server.config();
    config.base_url += "/";
    let chats = generator(&config);
    let answers = chats
        .generate(&[Prompt::from("t"), chat.clone()], &Sampling::default())
        .unwrap();
    assert!(answers[0][0].text.starts_with("t|") && answers[1][0].text.starts_with("c|"));
    assert_eq!(answers[0][0].finish, Finish::Eos);
    config.endpoint = Endpoint::Completions;
    let texts = generator(&config);
    let answers = texts
        .generate(&[Prompt::from("t")], &Sampling::default())
        .unwrap();
    assert_eq!(answers[0][0].finish, Finish::Length);
    let paths: Vec<String> = server.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths[..2], ["/v1/chat/completions"; 2]);
    assert_eq!(paths[2..], ["/v1/completions"]);

    // The prompt is refused before any request.
    let error = texts
        .generate(&[Prompt::from("t"), chat], &Sampling::default())
        .unwrap_err();
    assert!(
        matches!(error, GenerateError::Prompt { index: 1, .. }),
        "{error}"
    );
    let wrong = Sampling {
        n: 0,
        ..Sampling::default()
    };
    let error = texts.generate(&[Prompt::from("t")], &wrong).unwrap_err();
    assert!(
        matches!(error, GenerateError::Option { option: "n", .. }),
        "{error}"
    );
    assert_eq!(server.requests(), 3);
}

#[test]
fn one_failure_does_not_take_the_other_answers_with_it() {
    let server = Server::start(|request| match prompt(request).as_str() {
        "3" => Reply::status(400),
        _ => answered(request),
    });
    let prompts: Vec<Prompt> = (0..20).map(|i| Prompt::from(i.to_string())).collect();
    let generator = generator(&server.config());
    let mut texts = vec![None; 20];
    let outcome = generator
        .generate_each(&prompts, &Sampling::default(), |index, result| {
            texts[index] = result.ok().map(|completions| completions[0].text.clone());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(
        (outcome.finished, outcome.failed, outcome.stopped),
        (19, 1, false)
    );
    for (index, text) in texts.iter().enumerate() {
        let good = text
            .as_ref()
            .is_some_and(|text| text.starts_with(&format!("{index}|")));
        assert_eq!(good, index != 3, "{index}: {text:?}");
    }
    let error = generator
        .generate(&prompts, &Sampling::default())
        .unwrap_err();
    assert!(
        matches!(error, GenerateError::Prompt { index: 3, .. }),
        "{error}"
    );
}

/// Returns the error of one prompt that gets this reply, and the number of requests.
fn refused(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (RemoteError, usize) {
    let server = Server::start(reply);
    let mut refused = None;
    generator(&server.config())
        .generate_each(&[Prompt::from("p")], &Sampling::default(), |_, result| {
            refused = result.err();
            ControlFlow::Continue(())
        })
        .unwrap();
    (refused.unwrap(), server.requests())
}

#[test]
fn an_answer_that_is_no_completion_is_final() {
    let (error, requests) = refused(|request| {
        let mut body = echo(request, 1);
        body["choices"][0]["finish_reason"] = "content_filter".into();
        Reply::good(&body)
    });
    assert!(error.to_string().contains("content_filter"), "{error}");
    assert_eq!(requests, 1);
}

#[test]
fn messages_of_servers_are_cut_at_300_characters() {
    let long = "ö".repeat(4000);
    match refused(move |_| Reply::Send(400, Vec::new(), long.clone())).0 {
        RemoteError::Status { message, .. } => assert_eq!(message.chars().count(), 300),
        other => panic!("{other}"),
    }
}
