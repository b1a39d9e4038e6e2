//! The key reaches the server and nothing else.

mod server;

use std::io::Write;
use std::sync::{Arc, Mutex};

use collimate_core::{Generator, Prompt, Sampling, Scorer};
use collimate_remote::{ApiKey, RemoteConfig, RemoteGenerator, RemoteScorer, ScoreConfig};
use serde_json::json;
use server::{KEY, Reply, Server, answered, echo, key};

/// Everything logged by `tracing`, and by `log` down to DEBUG, including the HTTP library.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        let line = format!("\n{} {line}\n", record.target());
        self.0.lock().unwrap().extend(line.bytes());
    }

    fn flush(&self) {}
}

fn holds(text: &[u8], part: &str) -> bool {
    text.windows(part.len())
        .any(|window| window == part.as_bytes())
}

/// All checks are in one test, because loggers are global.
#[test]
fn the_key_is_nowhere_but_in_the_request() {
    let log = Log::default();
    log::set_logger(Box::leak(Box::new(log.clone()))).unwrap();
    // The TRACE logs of the HTTP library show headers.
    log::set_max_level(log::LevelFilter::Debug);
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // `init` would also set the global logger with its feature `tracing-log`, so it is not used.
    tracing::subscriber::set_global_default(subscriber).unwrap();

    // The server quotes the key wherever it can.
    let server = Server::start(|request| {
        let authorization = request.authorization.clone().unwrap_or_default();
        let quoted =
            json!({"error": {"message": format!("bad header {authorization}")}}).to_string();
        match server::prompt(request).as_str() {
            "good" => answered(request),
            "401" => Reply::Send(401, Vec::new(), quoted),
            "500" => Reply::Send(500, Vec::new(), quoted),
            "302" => {
                let location = format!("/?key={authorization}");
                Reply::Send(302, vec![("Location", location)], String::new())
            }
            "garbled" => Reply::Send(
                200,
                Vec::new(),
                format!("{} {authorization}", "x".repeat(180)),
            ),
            "cut" => Reply::Send(
                400,
                Vec::new(),
                format!("{}{authorization}", "x".repeat(285)),
            ),
            _ => {
                let mut body = echo(request, 1);
                body["choices"][0]["finish_reason"] = authorization.into();
                Reply::good(&body)
            }
        }
    });
    let config = RemoteConfig {
        api_key_env: Some("COLLIMATE_KEY".into()),
        max_retries: 1,
        ..server.config()
    };
    let generator = RemoteGenerator::with_key(&config, Some(key())).unwrap();
    let scorer = RemoteScorer::with_key(&config, &ScoreConfig::default(), Some(key())).unwrap();
    let mut shown = format!("{generator:?} {scorer:?} {config:?} {:?}", key());
    shown += &serde_json::to_string(&config).unwrap();
    for prompt in ["401", "500", "302", "garbled", "cut", "finish"] {
        let error = generator
            .generate(&[Prompt::from(prompt)], &Sampling::default())
            .unwrap_err();
        let text = error.to_string();
        assert!(!text.contains("sk-Zq7"), "{text}");
        shown += &format!("{error} {error:?}");
    }
    // The server's answer has a `text` that no scorer can read.
    let item = (Prompt::from("q"), "a".into());
    shown += &format!("{:?}", scorer.score(&[item]).unwrap_err());
    assert!(!shown.contains("sk-Zq7"), "{shown}");
    assert!(shown.contains("bad header Bearer [key]"), "{shown}");

    // The key arrives on a first and on a reused connection, and the log has the requests.
    log.0.lock().unwrap().clear();
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&arrived);
    let server = Server::start(move |request| {
        seen.lock().unwrap().push(request.authorization.clone());
        answered(request)
    });
    let config = RemoteConfig {
        concurrency: 1,
        ..server.config()
    };
    let generator = RemoteGenerator::with_key(&config, Some(key())).unwrap();
    let prompts = vec![Prompt::from("good"); 3];
    generator.generate(&prompts, &Sampling::default()).unwrap();
    let expected = Some(format!("Bearer {KEY}"));
    assert_eq!(*arrived.lock().unwrap(), vec![expected; 3]);
    let logged = log.0.lock().unwrap().clone();
    assert!(holds(&logged, "POST"), "the log shows requests");
    assert!(!holds(&logged, "Zq7"), "the log shows the key");

    // No key is sent if none is wanted.
    arrived.lock().unwrap().clear();
    let generator = RemoteGenerator::new(&config).unwrap();
    generator
        .generate(&prompts[..1], &Sampling::default())
        .unwrap();
    assert_eq!(*arrived.lock().unwrap(), [None]);

    // A key from the environment arrives. A missing key is an error with a hint.
    arrived.lock().unwrap().clear();
    let config = RemoteConfig {
        api_key_env: Some("CARGO_PKG_NAME".into()),
        ..config
    };
    let generator = RemoteGenerator::new(&config).unwrap();
    generator
        .generate(&prompts[..1], &Sampling::default())
        .unwrap();
    assert_eq!(
        *arrived.lock().unwrap(),
        [Some("Bearer collimate-remote".to_owned())]
    );
    let config = RemoteConfig {
        api_key_env: Some("COLLIMATE_NO_SUCH_KEY".into()),
        ..config
    };
    let error = RemoteGenerator::new(&config).unwrap_err().to_string();
    assert!(
        error.contains("COLLIMATE_NO_SUCH_KEY is not set"),
        "{error}"
    );
    assert!(ApiKey::new("two\nlines").is_err());
}
