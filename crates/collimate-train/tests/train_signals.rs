//! Real processes, really killed.
#![cfg(unix)]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use collimate_train::{FitContext, Interrupt, Progress, RunFolder, TrainConfig, fit};
use common::{Regression, comparable, config, tiny};
use serde_json::json;

const FOLDER: &str = "COLLIMATE_TEST_RUN_FOLDER";

fn often() -> TrainConfig {
    let every = Some(1);
    TrainConfig {
        save_every: every,
        eval_every: every,
        micro_batch_tokens: Some(4),
        ..config()
    }
}

fn train(folder: &Path, pause: Duration) -> Result<Vec<f32>, String> {
    let text = |error: collimate_train::TrainError| error.to_string();
    let mut run = RunFolder::create(folder, &json!({ "seed": 3 })).map_err(text)?;
    run.stage("tiny", "inputs").map_err(text)?;
    let interrupt = Interrupt::on_signals().map_err(text)?;
    let objective = Regression {
        noise: true,
        pause,
        ..Regression::default()
    };
    let context = FitContext::in_run(&run, &interrupt).with_progress(Progress::Silent);
    let fitted = fit(tiny(), &objective, &often(), &context).map_err(text)?;
    run.complete("tiny", &json!(null)).map_err(text)?;
    Ok(fitted.model.numbers())
}

/// The body of the child processes; on its own it has nothing to do.
#[test]
fn child() {
    if let Some(folder) = std::env::var_os(FOLDER)
        && let Err(error) = train(Path::new(&folder), Duration::from_millis(3))
    {
        eprintln!("{error}");
    }
}

fn spawn(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn sigkill_at_many_moments_costs_nothing_but_time() {
    let straight = tempfile::tempdir().unwrap();
    let numbers = train(straight.path(), Duration::ZERO).unwrap();
    for round in 0..5u64 {
        let folder = tempfile::tempdir().unwrap();
        for attempt in 0..8 {
            let mut child = spawn(folder.path());
            std::thread::sleep(Duration::from_millis(18 + (7 * round + 5 * attempt) % 23));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(train(folder.path(), Duration::ZERO).unwrap(), numbers);
        assert_eq!(comparable(folder.path()), comparable(straight.path()));
    }
}

#[test]
fn sigterm_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let child = spawn(folder.path());
    let first = folder.path().join("checkpoints/tiny/step-000001");
    for _ in 0..2000 {
        if first.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let sent = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("stopping after this step; once more: stop now"),
        "{text}"
    );
    assert!(
        text.contains("run the same command again to go on from there"),
        "{text}"
    );
    train(folder.path(), Duration::ZERO).unwrap();
}
