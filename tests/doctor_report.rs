//! The commands `doctor` and `report`.

mod common;

use std::fs;
use std::path::Path;

use collimate::run::{RunFolder, StageState};
use common::{command, files, run, succeed, text};
use serde_json::{Value, json};

#[test]
fn the_doctor_finds_the_devices_that_were_built() {
    let output = command("doctor")
        .arg("--json")
        .env("RAYON_NUM_THREADS", "1")
        .env("HTTPS_PROXY", "http://name:secret@proxy")
        .env_remove("NO_COLOR")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(!told.contains("secret"), "{told}");
    let found: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
    let device = |name: &str| {
        let devices = found["devices"].as_array().unwrap();
        devices
            .iter()
            .find(|device| device["name"] == name)
            .unwrap()["problem"]
            .clone()
    };
    let features = found["features"].as_array().unwrap();
    for name in ["flex", "ndarray"] {
        assert_eq!(
            features.contains(&json!(name)),
            device(name).is_null(),
            "{name}"
        );
    }
    assert!(device("flex").is_null());
    for name in ["cuda", "vulkan", "metal", "wgpu"] {
        if !features.contains(&json!(name)) {
            let wanted = format!("not built in (--features {name})");
            assert_eq!(device(name), json!(wanted));
        }
    }
    assert_eq!(found["threads"]["pool"], 1);
    let environment = found["environment"].as_array().unwrap();
    let set = |name: &str| environment.iter().find(|set| set["name"] == name);
    assert_eq!(set("RAYON_NUM_THREADS").unwrap()["value"], "1");
    assert_eq!(set("HTTPS_PROXY").unwrap()["value"], "set");
    assert!(set("NO_COLOR").is_none());
    assert!(found["disk"]["temporary_problem"].is_null());
    if cfg!(target_os = "linux") {
        let memory = &found["memory"];
        assert!(memory["total"].as_u64() >= memory["available"].as_u64());
        assert!(found["disk"]["free"].as_u64().is_some());
    }
    if cfg!(target_arch = "x86_64") {
        assert!(found["processor"]["features"]["avx2"].is_boolean());
    }
}

#[test]
fn the_doctor_tells_a_temporary_folder_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let output = command("doctor")
        .env("TMPDIR", folder.path().join("none"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let told = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for part in [
        "version",
        "device",
        "flex: works",
        "cannot be written",
        "set TMPDIR",
    ] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Writes a run with two stages; the second is done only if `ended`.
fn write_run(path: &Path, ended: bool) {
    let mut run = RunFolder::create(path, &json!({"seed": 1})).unwrap();
    assert_eq!(run.stage("sft", "a").unwrap(), StageState::Fresh);
    for step in 1..=3 {
        let values = [("loss", 1.0 / step as f64), ("rewards/margin", step as f64)];
        run.metrics().log("sft", step, values).unwrap();
    }
    run.complete("sft", &json!({"steps": 3})).unwrap();
    run.stage("dpo", "b").unwrap();
    run.metrics()
        .log("dpo", 1, [("loss", 0.25), ("bad", f64::NAN)])
        .unwrap();
    if ended {
        run.complete("dpo", &json!({"steps": 1})).unwrap();
        let summary = json!({
            "accuracy": 0.123_456_789,
            "test": {"pairs": 20},
            "models": [{"name": "seed", "steps": {"own": 3}}, {"name": "all", "ece": 0.5}],
        });
        run.write_summary(&summary).unwrap();
        fs::write(path.join("report.md"), "# The run's own words\n").unwrap();
    }
}

#[test]
fn the_numbers_of_a_run_are_written_beside_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("mine");
    write_run(&dir, true);
    let before = files(&dir);
    let output = succeed("report", folder.path(), &["mine"]);
    let overview = fs::read_to_string(dir.join("overview.md")).unwrap();
    for part in [
        "# Numbers of the run mine",
        "| sft   | result in the journal |",
        "| dpo   | result in the journal |",
        "| accuracy   | 0.123457   |",
        "| test.pairs | 20         |",
        "### models",
        "| name | steps.own | ece |",
        "| seed | 3         | –   |",
        "| all  | –         | 0.5 |",
        "](plots/metric-loss.svg)",
        "](plots/metric-rewards-margin.svg)",
    ] {
        assert!(overview.contains(part), "{part:?} is not in: {overview}");
    }
    assert!(!overview.contains("metric-bad"), "{overview}");
    for plot in ["metric-loss", "metric-rewards-margin"] {
        for kind in ["svg", "png"] {
            let path = dir.join("plots").join(plot).with_extension(kind);
            assert!(path.is_file(), "{}", path.display());
        }
    }
    // The terminal shows the tables; only the file names the plots.
    let told = text(&output.stdout);
    assert!(overview.starts_with(told.trim_end()), "{told}");
    assert!(text(&output.stderr).contains("report.md"));
    let printed = succeed("report", folder.path(), &["mine", "--json"]).stdout;
    let printed: serde_json::Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(printed["summary"]["test"]["pairs"], 20);
    // Existing files have not changed.
    let after = files(&dir);
    for file in &before {
        assert!(after.contains(file), "{}", file.0.display());
    }
}

#[test]
fn a_run_that_was_stopped_has_stages_and_plots() {
    let folder = tempfile::tempdir().unwrap();
    write_run(&folder.path().join("mine"), false);
    let output = succeed("report", folder.path(), &["mine"]);
    let told = text(&output.stdout);
    assert!(told.contains("| dpo   | begun                 |"), "{told}");
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("has not ended") && stderr.contains("--resume"),
        "{stderr}"
    );
}

/// Checks that the command ends with one line that contains all of `says`.
#[track_caller]
fn refused(folder: &Path, dir: &str, says: &[&str]) {
    let output = run("report", folder, &[dir]);
    let told = text(&output.stderr);
    assert!(!output.status.success(), "{told}");
    assert!(output.stdout.is_empty());
    assert_eq!(told.lines().count(), 1, "{told}");
    for part in says {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

#[test]
fn folders_of_no_run_are_refused_and_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    refused(folder.path(), "none", &["none", "no such folder"]);
    fs::write(at("file"), "x").unwrap();
    refused(folder.path(), "file", &["is a file"]);
    fs::create_dir(at("other")).unwrap();
    fs::write(at("other/config.json"), "{}").unwrap();
    refused(
        folder.path(),
        "other",
        &["is not a run folder", "journal.json", "--out"],
    );
    assert_eq!(fs::read_dir(at("other")).unwrap().count(), 1);

    write_run(&at("broken"), true);
    fs::write(at("broken/summary.json"), "{\"a\": ").unwrap();
    refused(folder.path(), "broken", &["summary.json", "not valid JSON"]);

    write_run(&at("busy"), true);
    // Another test's process, between fork and exec, may still hold the lock of the writing above.
    let held = (0..50).find_map(|_| {
        let opened = RunFolder::open(&at("busy")).ok();
        if opened.is_none() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        opened
    });
    assert!(held.is_some());
    refused(folder.path(), "busy", &["busy"]);
    drop(held);
}
