//! Signals to real processes, which really end them.
#![cfg(unix)]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use collimate_files::remove_unfinished;
use collimate_train::{Interrupt, TrainConfig, fit};
use common::{Regression, comparable, config, context, metrics_in, tiny};

const FOLDER: &str = "COLLIMATE_TEST_RUN_FOLDER";
/// Variable with the duration of a forward pass in milliseconds.
const PAUSE: &str = "COLLIMATE_TEST_PAUSE";

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
    // A kill between writing and renaming leaves a partial `metrics.jsonl`.
    remove_unfinished(folder).map_err(|error| error.to_string())?;
    let metrics = metrics_in(folder);
    let interrupt = Interrupt::on_signals().map_err(text)?;
    let objective = Regression {
        noise: true,
        pause,
        ..Regression::default()
    };
    let context = context(folder, &metrics, &interrupt);
    let fitted = fit(tiny(), &objective, &often(), &context).map_err(text)?;
    Ok(fitted.model.numbers())
}

/// Body of the child processes; in a normal test run it does nothing.
#[test]
fn child() {
    let pause = std::env::var(PAUSE).map_or(3, |pause| pause.parse().unwrap());
    if let Some(folder) = std::env::var_os(FOLDER)
        && let Err(error) = train(Path::new(&folder), Duration::from_millis(pause))
    {
        eprintln!("{error}");
    }
}

fn spawn(folder: &Path) -> Child {
    spawn_with(folder, "true", 3)
}

/// Starts a child whose shell ran `trap` first; the child ignores the signals that the shell
/// ignores.
fn spawn_with(folder: &Path, trap: &str, pause: u64) -> Child {
    // The test may run with ignored signals, which children inherit and a shell cannot undo.
    let mut command = match cfg!(target_os = "linux") {
        true => Command::new("env"),
        false => Command::new("sh"),
    };
    if cfg!(target_os = "linux") {
        command.args(["--default-signal=INT,TERM,HUP", "sh"]);
    }
    command
        .args(["-c", &format!("{trap}; exec \"$@\""), "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(FOLDER, folder)
        .env(PAUSE, pause.to_string())
        .stdin(Stdio::null())
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

/// Waits for the first checkpoint, after which signals are handled.
fn wait_for_a_step(folder: &Path) {
    let first = folder.join("checkpoints/tiny/step-000001");
    for _ in 0..60_000 {
        if first.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("no step");
}

/// Sends signals with the shell's own `kill`, so that two signals arrive at the same moment.
fn send(signals: &[&str], child: &Child) {
    let id = child.id();
    let kills: Vec<String> = signals.iter().map(|s| format!("kill -{s} {id}")).collect();
    let sent = Command::new("sh").args(["-c", &kills.join("; ")]).status();
    assert!(sent.unwrap().success());
}

/// Returns the message of a child that was asked to stop and has saved.
#[track_caller]
fn saved(child: Child) {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let asked = "stopping after this step; a second signal stops at once";
    assert_eq!(text.matches(asked).count(), 1, "{text}");
    assert!(
        text.contains("run the same command again to continue from there"),
        "{text}"
    );
}

#[test]
fn sigterm_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let child = spawn(folder.path());
    wait_for_a_step(folder.path());
    send(&["TERM"], &child);
    saved(child);
    train(folder.path(), Duration::ZERO).unwrap();
}

/// A script without job control starts `command &` with SIGINT ignored, and nohup ignores SIGHUP.
#[test]
fn an_ignored_signal_takes_no_other_with_it() {
    for (ignored, heard) in [("INT", "TERM"), ("INT", "HUP"), ("HUP", "TERM")] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = spawn_with(folder.path(), &format!("trap '' {ignored}"), 3);
        wait_for_a_step(folder.path());
        send(&[ignored], &child);
        std::thread::sleep(Duration::from_millis(30));
        assert!(
            child.try_wait().unwrap().is_none(),
            "{ignored} is not ignored"
        );
        send(&[heard], &child);
        saved(child);
    }
}

#[test]
fn a_signal_that_comes_twice_at_once_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let child = spawn_with(folder.path(), "true", 20);
    wait_for_a_step(folder.path());
    // `timeout` sends signals in this way, and so does a shell whose terminal is closed.
    send(&["TERM", "TERM", "HUP"], &child);
    saved(child);
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (signal, status) in [("TERM", 143), ("INT", 130)] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = spawn_with(folder.path(), "true", 500);
        wait_for_a_step(folder.path());
        // The sleep reaches into the next step, which takes longer than the rest of this test.
        std::thread::sleep(Duration::from_millis(100));
        send(&[signal], &child);
        std::thread::sleep(Duration::from_millis(250));
        assert!(child.try_wait().unwrap().is_none(), "{signal} did not wait");
        send(&[signal], &child);
        assert_eq!(child.wait().unwrap().code(), Some(status), "{signal}");
    }
}
