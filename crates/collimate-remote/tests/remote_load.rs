//! Many prompts at once: nothing is lost, nothing is answered twice, everything is in order.

mod server;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use collimate_core::{Completion, Generator, Prompt, Sampling};
use collimate_remote::{RemoteConfig, RemoteGenerator};
use proptest::prelude::*;
use server::{Reply, Request, Server, answered, echo, prompt};

fn prompts(count: usize) -> Vec<Prompt> {
    (0..count).map(|i| Prompt::from(i.to_string())).collect()
}

/// Random but reproducible.
fn draw(request: &Request) -> u64 {
    let number: u64 = prompt(request).parse().unwrap();
    let mut z = number * 1000 + request.asked as u64 + 1;
    for multiplier in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
        z = (z ^ (z >> 30)).wrapping_mul(multiplier);
    }
    z >> 33
}

fn check(answers: &[Vec<Completion>], n: usize) {
    for (index, completions) in answers.iter().enumerate() {
        assert_eq!(completions.len(), n);
        for (sample, completion) in completions.iter().enumerate() {
            let text = &completion.text;
            assert!(text.starts_with(&format!("{index}|")), "{index}: {text}");
            assert!(text.ends_with(&format!("|{sample}")), "{sample}: {text}");
        }
    }
}

#[test]
fn a_thousand_prompts_with_a_third_of_faults() {
    let faults = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&faults);
    let came = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let draw = draw(request);
        let text = || echo(request, 2).to_string();
        let reply = match draw % 21 {
            0 => Reply::status(500),
            1 => Reply::status(503),
            2 => Reply::Send(429, vec![("Retry-After", "0".into())], String::new()),
            3 => Reply::Cut(text()),
            4 => Reply::Reset(text()),
            5 => Reply::Send(200, Vec::new(), text()[..40].to_owned()),
            6 => Reply::Send(200, Vec::new(), "<html>".into()),
            _ => answered(request),
        };
        counter.fetch_add(usize::from(draw % 21 < 7), Ordering::Relaxed);
        // The first requests wait for each other, and then some time for one too many.
        let begin = Instant::now();
        came.fetch_add(1, Ordering::SeqCst);
        while came.load(Ordering::SeqCst) < 32 && begin.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if request.number < 32 {
            std::thread::sleep(Duration::from_millis(100));
        }
        Reply::Late(Duration::from_micros(draw % 8000), Box::new(reply))
    });
    let config = RemoteConfig {
        concurrency: 32,
        max_retries: 30,
        ..server.config()
    };
    let generator = RemoteGenerator::with_key(&config, None).unwrap();
    let sampling = Sampling {
        n: 2,
        ..Sampling::default()
    };
    let begin = Instant::now();
    let answers = generator.generate(&prompts(1000), &sampling).unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    check(&answers, 2);

    let good = server.good();
    assert_eq!(good.len(), 1000, "each prompt has a body of its own");
    assert!(
        good.values().all(|&count| count == 1),
        "asked after success"
    );
    let faults = faults.load(Ordering::Relaxed);
    assert!((350..650).contains(&faults), "{faults}");
    assert_eq!(server.requests(), 1000 + faults);
    let stats = generator.stats();
    assert_eq!(stats.requests as usize, 1000 + faults);
    assert_eq!(stats.retries as usize, faults);
    assert_eq!((stats.prompt_tokens, stats.completion_tokens), (3000, 4000));
    assert_eq!(server.peak(), 32);
    println!(
        "1000 prompts, {faults} faults, {seconds:.2} s, {} at once",
        server.peak()
    );
}

#[test]
fn prompts_do_not_share_a_seed() {
    let server = Server::start(answered);
    let generator = RemoteGenerator::with_key(&server.config(), None).unwrap();
    let same = vec![Prompt::from("same"); 50];
    let first = generator.generate(&same, &Sampling::default()).unwrap();
    let texts: std::collections::BTreeSet<&str> =
        first.iter().map(|answer| answer[0].text.as_str()).collect();
    assert_eq!(texts.len(), 50);
    assert_eq!(
        generator.generate(&same, &Sampling::default()).unwrap(),
        first
    );
    let other = Sampling {
        seed: 1,
        ..Sampling::default()
    };
    assert_ne!(generator.generate(&same, &other).unwrap(), first);
    let seeds = server.seen();
    assert!(
        seeds
            .iter()
            .all(|seen| seen.body["seed"].as_u64().unwrap() < 1 << 31)
    );
}

#[test]
fn a_break_sends_nothing_more_and_loses_nothing() {
    // Prompts 0 to 3 are answered after the callback broke at the first result. Prompt 5 would be
    // repeated.
    let server = Server::start(|request| match prompt(request).as_str() {
        "4" => answered(request),
        "5" => Reply::status(500),
        _ => Reply::Late(Duration::from_millis(300), Box::new(answered(request))),
    });
    let config = RemoteConfig {
        concurrency: 6,
        backoff_first: 3600.0,
        backoff_most: 3600.0,
        ..server.config()
    };
    let generator = RemoteGenerator::with_key(&config, None).unwrap();
    let mut got = Vec::new();
    let begin = Instant::now();
    let outcome = generator
        .generate_each(&prompts(100), &Sampling::default(), |index, result| {
            assert!(result.is_ok());
            got.push(index);
            // The answer to prompt 4 may arrive before the other requests are sent.
            while server.requests() < 6 {
                std::thread::yield_now();
            }
            ControlFlow::Break(())
        })
        .unwrap();
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert!(outcome.stopped);
    got.sort_unstable();
    let answered: Vec<usize> = server
        .seen()
        .iter()
        .filter(|seen| seen.good)
        .map(|seen| {
            seen.body["messages"][0]["content"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect::<std::collections::BTreeSet<usize>>()
        .into_iter()
        .collect();
    assert_eq!(got, answered, "what the server answered was handed out");
    // The thread of prompt 4 may have taken one more job before the callback ran.
    assert!(
        (6..=7).contains(&server.requests()),
        "{}",
        server.requests()
    );
    assert_eq!(outcome.finished, got.len());
    assert_eq!(outcome.failed, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn order_is_that_of_the_prompts_whatever_the_delays(
        delays in prop::collection::vec(0_u64..6, 1..24),
        concurrency in 1_usize..9,
        n in 1_usize..4,
    ) {
        let count = delays.len();
        let server = Server::start(move |request| {
            let index: usize = prompt(request).parse().unwrap();
            Reply::Late(Duration::from_millis(delays[index]), Box::new(answered(request)))
        });
        let config = RemoteConfig { concurrency, ..server.config() };
        let generator = RemoteGenerator::with_key(&config, None).unwrap();
        let sampling = Sampling { n, ..Sampling::default() };
        let answers = generator.generate(&prompts(count), &sampling).unwrap();
        prop_assert_eq!(answers.len(), count);
        check(&answers, n);
        prop_assert_eq!(server.requests(), count);
        prop_assert!(server.peak() <= concurrency);
    }
}
