//! Tests against a real server, or else against a small teller of stories:
//!
//! ```text
//! COLLIMATE_REMOTE_URL=http://127.0.0.1:8000/v1 COLLIMATE_REMOTE_MODEL=name \
//!     cargo test -p collimate-remote --test real_server -- --nocapture
//! ```
//!
//! `COLLIMATE_REMOTE_EXTRA` may contain a JSON object for `extra_body`.

mod server;

use std::collections::BTreeSet;
use std::time::Instant;

use collimate_core::{Completion, Finish, Generator, Message, Prompt, Role, Sampling};
use collimate_remote::{Endpoint, RemoteConfig, RemoteGenerator};
use serde_json::json;
use server::{Reply, Server, echo, prompt, wanted};

/// A generator with the server that the variables name, or with the teller.
fn generator(teller: &Server, endpoint: Endpoint) -> RemoteGenerator {
    let config = match std::env::var("COLLIMATE_REMOTE_URL") {
        Ok(base_url) => {
            let extra = std::env::var("COLLIMATE_REMOTE_EXTRA").unwrap_or_else(|_| "{}".into());
            RemoteConfig {
                base_url,
                model: std::env::var("COLLIMATE_REMOTE_MODEL").expect("COLLIMATE_REMOTE_MODEL"),
                api_key_env: None,
                extra_body: serde_json::from_str(&extra).unwrap(),
                timeout: 120.0,
                ..RemoteConfig::default()
            }
        }
        Err(_) => teller.config(),
    };
    let config = RemoteConfig {
        endpoint,
        concurrency: 4,
        ..config
    };
    RemoteGenerator::new(&config).unwrap()
}

/// Starts a server that samples by the seed, is greedy at temperature 0, and leaves stop texts in.
fn teller() -> Server {
    Server::start(|request| {
        let mut answer = echo(request, wanted(request));
        let greedy = request.body["temperature"] == 0.0;
        for choice in answer["choices"].as_array_mut().unwrap() {
            let text = match request.path.ends_with("/chat/completions") {
                true => &mut choice["message"]["content"],
                false => &mut choice["text"],
            };
            if greedy {
                *text = json!(format!("{} there was a king. He", prompt(request)));
            }
        }
        Reply::good(&answer)
    })
}

fn texts(answers: &[Vec<Completion>]) -> Vec<&str> {
    answers.iter().flatten().map(|c| c.text.as_str()).collect()
}

#[test]
fn completions_of_texts_and_conversations() {
    let teller = teller();
    let message = |role, content: &str| Message::new(role, content);
    let chat = Prompt::Chat(vec![
        message(Role::System, "You tell stories."),
        message(Role::User, "Once upon a time"),
    ]);
    let texts_only = vec![Prompt::from("Once upon a time"), Prompt::from("The dog")];
    let mut both = texts_only.clone();
    both.push(chat);
    for (endpoint, prompts) in [
        (Endpoint::ChatCompletions, both),
        (Endpoint::Completions, texts_only),
    ] {
        let generator = generator(&teller, endpoint);
        let sampling = Sampling {
            n: 3,
            seed: 5,
            max_new_tokens: 12,
            ..Sampling::default()
        };
        let begin = Instant::now();
        let answers = generator.generate(&prompts, &sampling).unwrap();
        println!(
            "{endpoint:?}: {:?} in {:.2} s",
            generator.stats(),
            begin.elapsed().as_secs_f64()
        );
        assert_eq!(answers.len(), prompts.len());
        assert!(answers.iter().all(|completions| completions.len() == 3));
        for text in texts(&answers) {
            println!("  {text:?}");
        }
        let distinct: BTreeSet<&str> = texts(&answers).into_iter().collect();
        println!("  {} of {} differ", distinct.len(), texts(&answers).len());
        let one = Sampling {
            n: 1,
            ..sampling.clone()
        };
        let alone = generator.generate(&prompts[..1], &one).unwrap();
        let again = generator.generate(&prompts[..1], &one).unwrap();
        println!("  the same seed gives the same text: {}", alone == again);

        let greedy = Sampling {
            temperature: 0.0,
            max_new_tokens: 60,
            stop: vec![".".into()],
            ..Sampling::default()
        };
        let first = generator.generate(&prompts, &greedy).unwrap();
        assert_eq!(first, generator.generate(&prompts, &greedy).unwrap());
        let finishes: Vec<Finish> = first.iter().flatten().map(|c| c.finish).collect();
        assert!(texts(&first).iter().all(|text| !text.contains('.')));
        println!("  up to a full stop: {:?} {finishes:?}", texts(&first));
    }
}

#[test]
fn options_that_only_some_servers_know() {
    let teller = teller();
    let generator = generator(&teller, Endpoint::Completions);
    let sampling = Sampling {
        top_k: 5,
        repetition_penalty: 1.1,
        max_new_tokens: 4,
        ..Sampling::default()
    };
    match generator.generate(&[Prompt::from("Once")], &sampling) {
        Ok(answers) => println!(
            "top_k and repetition_penalty are accepted, which does not show that they are read: {:?}",
            texts(&answers)
        ),
        Err(error) => println!("top_k and repetition_penalty are refused: {error}"),
    }
    assert_eq!(generator.stats().retries, 0);
}
