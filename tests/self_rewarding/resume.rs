//! Runs that are killed in training, generation and judging, and resumed.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{command, files, json, run, succeed, text, without_seconds};
use crate::tiny;

#[test]
fn killed_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny(folder, json!({}));
    let straight = folder.join("straight");
    let started = Instant::now();
    succeed(
        "self-rewarding",
        folder,
        &["--config", &config, "--out", "straight"],
    );
    let whole = started.elapsed();
    let kills = std::env::var("COLLIMATE_KILLS").map_or(4, |n| n.parse().unwrap());
    let killed = folder.join("killed");
    // One run, killed again and again: in training, generation and judging.
    for kill in 1..=kills {
        let start: &[&str] = match killed.join("config.json").exists() {
            true => &["--resume"],
            false => &["--config", &config],
        };
        let mut child = command("self-rewarding")
            .args(start)
            .args(["--out", "killed"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let cache = killed.join("judge/cache.jsonl");
        let judged = || fs::metadata(&cache).map_or(0, |file| file.len());
        let before = judged();
        let share = 1.0 / f64::from(kills + 1) + 0.01 * f64::from(kill);
        let end = Instant::now() + whole.mul_f64(share).max(Duration::from_millis(20));
        // Every second kill falls into judging, as soon as the first judgement exists.
        while Instant::now() < end && (kill % 2 == 0 || judged() == before) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
    succeed("self-rewarding", folder, &["--resume", "--out", "killed"]);
    let made = |run: &Path| -> Vec<_> {
        let wanted = |path: &Path| {
            let name = path.strip_prefix(run).unwrap();
            let first = name.components().next().unwrap();
            let first = first.as_os_str().to_str().unwrap().to_owned();
            [
                "models",
                "m1",
                "m2",
                "answers",
                "judge_test",
                "eft",
                "rank_test",
            ]
            .contains(&first.as_str())
        };
        let all = files(run).into_iter().filter(|(path, _)| wanted(path));
        all.map(|(path, bytes)| (path.strip_prefix(run).unwrap().to_owned(), bytes))
            .collect()
    };
    let (a, b) = (made(&killed), made(&straight));
    assert!(a.len() > 20, "{}", a.len());
    for (a, b) in a.iter().zip(&b) {
        assert!(a == b, "{} differs from {}", a.0.display(), b.0.display());
    }
    assert_eq!(a.len(), b.len());
    let summary = |run: &Path| without_seconds(json(&run.join("summary.json")));
    assert_eq!(summary(&killed), summary(&straight));
    // A run does not continue from files that were changed.
    fs::remove_file(killed.join("report.md")).unwrap();
    let tasks = killed.join("m1/tasks.jsonl");
    for (change, says) in [(Some("{}\n"), "has changed since"), (None, "tasks.jsonl")] {
        match change {
            Some(text) => fs::write(&tasks, text).unwrap(),
            None => fs::remove_file(&tasks).unwrap(),
        }
        let output = run("self-rewarding", folder, &["--resume", "--out", "killed"]);
        let error = text(&output.stderr);
        assert!(!output.status.success());
        assert!(
            error.contains(says) && error.contains("restore the file"),
            "{error}"
        );
    }
}
