//! A run that is killed at any point and resumed ends with the bytes of an uninterrupted run.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use collimate::core::{Key, Purpose};
use common::{command, json, succeed, text, tiny_world, without_seconds};
use serde_json::Value;

/// Returns the number of kills; set `COLLIMATE_KILLS=10` for more.
fn kills() -> u64 {
    std::env::var("COLLIMATE_KILLS").map_or(3, |n| n.parse().unwrap())
}

fn lines(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

fn summary(run: &Path) -> Value {
    without_seconds(json(&run.join("summary.json")))
}

#[track_caller]
fn same_end(run: &Path, straight: &Path) {
    for file in [
        "model/model.safetensors",
        "sft/model.safetensors",
        "policy-ser/model.safetensors",
    ] {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(run) == read(straight), "{file} differs");
    }
    assert_eq!(summary(run), summary(straight));
}

/// Waits until the run has logged `target` lines or ended.
fn wait_for(child: &mut Child, run: &Path, target: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while lines(run) < target && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "no progress");
        std::thread::sleep(Duration::from_micros(300));
    }
}

#[test]
fn sigkill_at_random_points() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny_world(folder).display().to_string();
    succeed("ser", folder, &["--config", &config, "--out", "straight"]);
    let straight = folder.join("straight");
    let total = lines(&straight);
    let mut killed = 0;
    for point in 0..kills() {
        let name = format!("killed-{point}");
        let run = folder.join(&name);
        let draw = |n: u64, below: u64| {
            let key = Key::new(point, "kill").with(n);
            rand::Rng::next_u64(&mut key.rng(Purpose::Data)) % below
        };
        // Twice: a resumed run can be killed as well.
        for attempt in 0..2 {
            let start: &[&str] = match run.join("config.json").exists() {
                true => &["--resume"],
                false => &["--config", &config],
            };
            let mut child = command("ser")
                .args(start)
                .args(["--out", &name])
                .current_dir(folder)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let target = lines(&run) + draw(attempt, total as u64) as usize;
            wait_for(&mut child, &run, target);
            std::thread::sleep(Duration::from_micros(draw(10 + attempt, 20_000)));
            child.kill().unwrap();
            killed += usize::from(!child.wait().unwrap().success());
        }
        match run.join("config.json").exists() {
            true => succeed("ser", folder, &["--resume", "--out", &name]),
            false => succeed("ser", folder, &["--config", &config, "--out", &name]),
        };
        same_end(&run, &straight);
    }
    assert!(
        killed >= kills() as usize,
        "only {killed} processes were killed while they ran"
    );
}

/// A way to stop a run: an option of `env` and a signal. A test may run with Ctrl-C ignored, and
/// children inherit this, so the option sets the signals that they ignore.
#[derive(Clone, Copy)]
struct Way {
    signals: &'static str,
    signal: &'static str,
}

/// Interrupts a run once it has logged `target` lines. Returns the checkpoint that the run reports
/// as saved, if there is one.
fn interrupted(run: &Path, way: Way, start: &[&str], target: usize) -> Option<String> {
    let mut child = Command::new("env")
        .arg(way.signals)
        .args([common::PROGRAM, "ser"])
        .args(start)
        .arg("--out")
        .arg(run.file_name().unwrap())
        .current_dir(run.parent().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&mut child, run, target);
    let interrupt = format!("kill -{} {}", way.signal, child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &interrupt])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    let status = if way.signal == "TERM" { 143 } else { 130 };
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    let last = stderr.lines().last().unwrap();
    assert!(last.starts_with("interrupted after step"), "{stderr}");
    let name = run.file_name().unwrap().display();
    let resume = format!("continue with: --resume --out {name}");
    assert!(last.ends_with(&resume), "{stderr}");
    match last.split_once("(saved in ") {
        Some((_, rest)) => Some(rest.split(')').next().unwrap().to_owned()),
        None => {
            let anew = last.starts_with("interrupted after step 0 of stage")
                && last.contains("(this stage will start from its beginning)");
            assert!(anew, "{stderr}");
            None
        }
    }
}

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny_world(folder).display().to_string();
    succeed("ser", folder, &["--config", &config, "--out", "straight"]);
    let half = lines(&folder.join("straight")) / 2;
    let terminal = Way {
        signals: "--default-signal=INT,TERM,HUP",
        signal: "INT",
    };
    // A script without job control starts a command with `&` like this.
    let background = Way {
        signals: "--ignore-signal=INT",
        signal: "TERM",
    };
    for (name, way) in [("stopped", terminal), ("script", background)] {
        let run = folder.join(name);
        // A stage that has not made a step has nothing to save, so the interrupt comes later then.
        let saved = (0..10).find_map(|again| match again {
            0 => interrupted(&run, way, &["--config", &config], half),
            _ => interrupted(&run, way, &["--resume"], lines(&run) + 1),
        });
        let saved = saved.expect("ten interrupts, of which one was after a stage's first step");
        assert!(folder.join(&saved).join("state.json").exists(), "{saved}");
        assert!(!run.join("summary.json").exists());
        succeed("ser", folder, &["--resume", "--out", name]);
        same_end(&run, &folder.join("straight"));
    }
}
