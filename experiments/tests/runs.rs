//! Runs with a program that is a shell script, and summaries of their results.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use collimate_experiments::{Row, read_rows};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A program with the contract of `collimate`: `--out`, `--resume`, `config.json` first,
/// `summary.json` last, status 130 when asked to stop. `CALLS` names a log of its starts. If the
/// mode says so, seed 1 fails, and every run waits for the file `GATE`.
const PROGRAM: &str = r#"#!/bin/sh
command=$1; shift; seed=0; mode=plain; resume=no; config=none; data=none
while [ $# -gt 0 ]; do
  case "$1" in
    --out) out=$2; shift ;;
    --seed) seed=$2; shift ;;
    --mode) mode=$2; shift ;;
    --data) data=$2; shift ;;
    --config) config=$(cat "$2"); shift ;;
    --resume) resume=yes ;;
    instructions) command="$command $1" ;;
    *) echo "error: unknown $1" >&2; exit 2 ;;
  esac
  shift
done
case "$command" in
  eval*) if [ $resume = yes ] || [ -e "$out/summary.json" ]; then echo "error: $out has ended" >&2; exit 4; fi ;;
  *) mkdir -p "$out"; echo '{}' > "$out/config.json" ;;
esac
mkdir -p "$out/checkpoints" "$out/plots"
echo "$command seed=$seed resume=$resume threads=$RAYON_NUM_THREADS data=$data config=$config" >> "$CALLS"
case "$mode" in
  fail) if [ "$seed" = 1 ] && [ ! -e "$GATE" ]; then echo "error: no rows" >&2; exit 3; fi ;;
  wait) trap 'exit 130' TERM; while [ ! -e "$GATE" ]; do sleep 0.02; done ;;
esac
for step in 1 2 3 4; do
  echo "{\"stage\": \"dpo/a\", \"step\": $step, \"loss\": 0.$seed$step, \"lr\": 1}" >> "$out/metrics.jsonl"
done
echo '{"stage": "other", "step": 5, "loss": 9}' >> "$out/metrics.jsonl"
echo "{\"accuracy\": {\"ser\": 0.$seed}, \"models\": [{\"name\": \"loop0\"},
  {\"name\": \"ser\", \"steps\": 1$seed}], \"data\": \"$data\"}" > "$out/summary.json"
"#;

struct Place {
    dir: TempDir,
}

impl Place {
    /// Makes a folder with the program and a plan of three seeds.
    fn new(mode: &str) -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::write(place.path("fake"), PROGRAM).unwrap();
        fs::set_permissions(place.path("fake"), fs::Permissions::from_mode(0o755)).unwrap();
        place.plan(&json!({
            "name": "tiny", "command": "self_rewarding", "config": { "a": 1 },
            "args": ["--mode", mode, "--data", "${data}"], "axes": { "seed": [0, 1, 2] },
            "keep": { "ser": "/accuracy/ser", "steps": "/models/name=ser/steps", "text": "/data" }
        }));
        place
    }

    fn plan(&self, plan: &Value) {
        fs::write(self.path("tiny.json"), plan.to_string()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, task: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_collimate-experiments"));
        command
            .current_dir(self.dir.path())
            .args([task, "tiny.json"])
            .args(args)
            .env("CALLS", self.path("calls"))
            .env("GATE", self.path("gate"))
            .env("GIT_CEILING_DIRECTORIES", self.dir.path().parent().unwrap());
        command
    }

    fn output(&self, task: &str, args: &[&str]) -> Output {
        self.command(task, args).output().unwrap()
    }

    fn start(&self, args: &[&str]) -> Child {
        let args = [&["--set", "data=d", "--program", "fake"], args].concat();
        let mut command = self.command("run", &args);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    fn run(&self, args: &[&str]) -> Option<i32> {
        self.start(args).wait().unwrap().code()
    }

    fn rows(&self) -> Vec<Row> {
        read_rows(&self.path("docs/results/tiny.jsonl")).unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn wait_for_calls(&self, count: usize) {
        let started = Instant::now();
        while self.calls().len() < count {
            assert!(started.elapsed() < Duration::from_secs(60), "no start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn open_gate(&self) {
        fs::write(self.path("gate"), "").unwrap();
    }
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn finished_cells_are_not_run_again() {
    let place = Place::new("plain");
    let missing = text(&place.output("run", &[]));
    assert!(
        missing.contains("${data} has no value: give --set data=VALUE"),
        "{missing}"
    );

    assert_eq!(place.run(&["--only", "seed=1", "--jobs", "1"]), Some(0));
    let first = "self-rewarding seed=1 resume=no threads= data=d config={\"a\":1}";
    assert_eq!(place.calls(), [first]);
    // A killed runner may leave this at the end.
    let results = place.path("docs/results/tiny.jsonl");
    let whole = fs::read_to_string(&results).unwrap();
    fs::write(&results, format!("{whole}{}", &whole[..40])).unwrap();

    assert_eq!(place.run(&["--jobs", "2"]), Some(0));
    assert_eq!(place.run(&[]), Some(0));
    assert_eq!((place.calls().len(), place.rows().len()), (3, 3));
    assert!(place.calls()[2].contains("threads=1 "));
    let row = &place.rows()[0];
    assert_eq!(row.axes["seed"], json!(1));
    // A text may hold a path, so it is not kept.
    assert_eq!(json!(row.fields), json!({ "ser": 0.1, "steps": 11 }));
    assert_eq!(
        (row.status, row.resumed, row.threads),
        (Some(0), false, None)
    );
    assert!(row.machine.contains("cores") && row.binary.len() == 12);
    let run = place
        .path("runs/experiments/tiny")
        .join(&row.id)
        .join("run");
    assert!(run.join("summary.json").exists() && run.join("plots").exists());
    assert!(!run.join("checkpoints").exists());
}

#[test]
fn without_the_program_it_says_how_to_build_it() {
    let place = Place::new("plain");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let alone = folder.path().join("runner");
    fs::hard_link(env!("CARGO_BIN_EXE_collimate-experiments"), &alone).unwrap();
    let mut command = Command::new(alone);
    let command = command.args(["run", "tiny.json", "--set", "data=d"]);
    let output = command
        .current_dir(place.dir.path())
        .env("PATH", "")
        .output();
    let said = text(&output.unwrap());
    assert!(said.contains("cargo build -p collimate-cli"), "{said}");
}

#[test]
fn a_failing_cell_is_a_row_and_is_retried_only_when_asked() {
    let place = Place::new("fail");
    let args = ["--set", "data=d", "--program", "fake"];
    let output = place.output("run", &args);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(
        said.contains("seed=1") && said.contains("stderr.log: error: no rows"),
        "{said}"
    );
    let failed = place.rows().into_iter().filter(|row| !row.is_ok());
    let failed: Vec<Row> = failed.collect();
    assert_eq!((failed.len(), failed[0].status), (1, Some(3)));
    assert_eq!(place.run(&[]), Some(0));
    assert_eq!(place.calls().len(), 3);
    let list = text(&place.output("list", &[]));
    assert_eq!(
        (
            list.matches("| failed |").count(),
            list.matches("| done |").count()
        ),
        (1, 2)
    );
    let summary = text(&place.output("summary", &[]));
    assert!(summary.contains("Failed, in no mean: seed=1."), "{summary}");

    place.open_gate();
    assert_eq!(place.run(&["--retry-failed", "--keep"]), Some(0));
    assert_eq!(place.calls().len(), 4);
    assert!(place.calls()[3].contains("seed=1 resume=yes"));
    let rows = place.rows();
    assert!(rows[3].is_ok() && rows[3].resumed && rows[3].began.is_none());
    // Seeds 0, 1, 2 report 0.0, 0.1, 0.2 and 10, 11, 12 steps.
    let summary = text(&place.output("summary", &[]));
    assert!(
        summary.contains("| 3 | 0.1000 ± 0.1000 | 11.00 ± 1.0000 |"),
        "{summary}"
    );
}

#[test]
fn asked_to_stop_it_asks_the_programs_and_resumes_later() {
    for signal in ["INT", "TERM"] {
        let place = Place::new("wait");
        let mut runner = place.start(&["--jobs", "2"]);
        place.wait_for_calls(2);
        let id = runner.id().to_string();
        let kill = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(kill.unwrap().success());
        assert_eq!(runner.wait().unwrap().code(), Some(130));
        assert_eq!((place.calls().len(), place.rows().len()), (2, 0));

        place.open_gate();
        assert_eq!(place.run(&[]), Some(0));
        let resumed = place
            .calls()
            .into_iter()
            .filter(|call| call.contains("resume=yes"));
        assert_eq!(resumed.count(), 2);
        assert_eq!(place.rows().iter().filter(|row| row.resumed).count(), 2);
    }
}

#[test]
fn steps_run_one_after_the_other_and_a_stopped_cell_repeats_only_the_step_that_was_running() {
    let place = Place::new("plain");
    let step = |name: &str, mode: &str| {
        json!({
            "name": name, "command": "eval instructions",
            "args": ["--mode", mode, "--data", "${cell}/run/models", "--seed", "7"],
            "keep": { name: "/accuracy/ser" }
        })
    };
    place.plan(&json!({
        "name": "tiny", "command": "dpo", "args": ["--data", "${data}"], "axes": { "seed": [1] },
        "keep": { "ser": "/accuracy/ser" }, "then": [step("rule", "wait"), step("judge", "plain")]
    }));
    let mut runner = place.start(&[]);
    place.wait_for_calls(2);
    let id = runner.id().to_string();
    Command::new("kill")
        .args(["-s", "TERM", &id])
        .status()
        .unwrap();
    assert_eq!(runner.wait().unwrap().code(), Some(130));
    assert_eq!((place.calls().len(), place.rows().len()), (2, 0));

    place.open_gate();
    assert_eq!(place.run(&[]), Some(0));
    let calls = place.calls();
    assert_eq!(calls.len(), 4, "{calls:?}");
    let row = &place.rows()[0];
    let models = format!("data=runs/experiments/tiny/{}/run/models ", row.id);
    for (call, start) in calls.iter().zip([
        "dpo seed=1 resume=no",
        "eval instructions seed=7 resume=no",
        "eval instructions seed=7 resume=no",
        "eval instructions seed=7 resume=no",
    ]) {
        assert!(call.starts_with(start), "{call}");
        assert!(call.starts_with("dpo") || call.contains(&models), "{call}");
    }
    let kept = json!({ "ser": 0.1, "rule": 0.7, "judge": 0.7 });
    assert_eq!((json!(row.fields), row.resumed), (kept, true));
    // The row is lost, and the models are gone: the cell has still ended.
    let results = place.path("docs/results/tiny.jsonl");
    fs::remove_file(&results).unwrap();
    assert_eq!(place.run(&[]), Some(0));
    assert_eq!(
        (place.calls().len(), &place.rows()[0].fields),
        (4, &row.fields)
    );
    // The summary alone does not make the last evaluation an ended one.
    let cell = place.path("runs/experiments/tiny").join(&row.id);
    fs::remove_file(cell.join("judge.done")).unwrap();
    fs::remove_file(&results).unwrap();
    assert_eq!(place.run(&[]), Some(0));
    assert_eq!(
        (place.calls().len(), &place.rows()[0].fields),
        (5, &row.fields)
    );
    let list = text(&place.output("list", &[]));
    let commands = "collimate dpo --data ${data} --seed 1; collimate eval instructions --mode wait";
    assert!(list.contains(commands), "{list}");
}

#[test]
fn a_step_that_fails_fails_the_cell_and_names_its_log() {
    let place = Place::new("plain");
    place.plan(&json!({
        "name": "tiny", "command": "dpo", "args": ["--data", "${data}"], "axes": { "seed": [0] },
        "keep": { "ser": "/accuracy/ser" },
        "then": [{ "name": "rule", "command": "score", "args": ["--mode", "fail", "--seed", "1"],
                   "keep": { "rule": "/accuracy/ser" } }]
    }));
    let output = place.output("run", &["--set", "data=d", "--program", "fake"]);
    let said = text(&output);
    assert!(said.contains("rule.stderr.log: error: no rows"), "{said}");
    assert_eq!(place.rows()[0].status, Some(3));
    place.open_gate();
    assert_eq!(place.run(&["--retry-failed"]), Some(0));
    assert_eq!(place.calls().len(), 3);
    assert_eq!(
        json!(place.rows()[1].fields),
        json!({ "ser": 0.0, "rule": 0.1 })
    );
    let cell = place
        .path("runs/experiments/tiny")
        .join(&place.rows()[1].id);
    for step in ["run", "rule"] {
        assert!(cell.join(step).join("plots").exists());
        assert!(!cell.join(step).join("checkpoints").exists());
    }
}

#[test]
fn curves_are_kept_step_by_step_and_drawn() {
    let place = Place::new("plain");
    place.plan(&json!({
        "name": "tiny", "command": "dpo", "args": ["--data", "${data}"], "axes": { "seed": [1, 2] },
        "keep": { "ser": "/accuracy/ser" }, "curves": { "loss": "dpo/a/loss" }
    }));
    let none = text(&place.output("plot", &["--out", "loss.svg"]));
    assert!(none.contains("no row has a curve"), "{none}");
    assert_eq!(place.run(&[]), Some(0));
    let curve = &place.rows()[0].curves["loss"];
    assert_eq!(curve, &[(1, 0.11), (2, 0.12), (3, 0.13), (4, 0.14)]);
    let drawn = place.output("plot", &["--out", "loss.svg", "--mean", "2"]);
    assert!(drawn.status.success(), "{}", text(&drawn));
    let svg = fs::read_to_string(place.path("loss.svg")).unwrap();
    assert!(svg.contains("seed 1") && svg.contains("seed 2"), "{svg}");
    assert!(!svg.contains(", seed"), "{svg}");
    let long = text(&place.output("plot", &["--out", "loss.svg", "--mean", "5"]));
    assert!(long.contains("--mean 5 is above the 4 steps"), "{long}");
}

#[test]
fn a_program_that_outlives_its_runner_is_waited_for() {
    let place = Place::new("wait");
    let args = ["--only", "seed=0"];
    let mut runner = place.start(&args);
    place.wait_for_calls(1);
    runner.kill().unwrap();
    runner.wait().unwrap();
    let mut next = [place.start(&args), place.start(&args)];
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(place.calls().len(), 1, "two programs in one run folder");
    place.open_gate();
    for next in &mut next {
        assert!(next.wait().unwrap().success());
    }
    // The second runner finds the row of the first.
    assert_eq!((place.calls().len(), place.rows().len()), (2, 1));
    assert!(place.calls()[1].contains("resume=yes"));
}

#[test]
fn summaries_agree_with_a_hand_calculation() {
    let place = Place::new("plain");
    place.plan(&json!({
        "name": "tiny", "command": "ser", "axes": { "seed": [0, 1, 2], "data": ["a", "b"] },
        "cells": [
            { "name": "ser" },
            { "name": "all", "args": ["--x"], "axes": { "seed": [0, 1] } },
        ],
        "keep": { "ser": "/s" }, "borrow": { "full": "all" }
    }));
    let list = text(&place.output("list", &[]));
    let id = |cell: &str| {
        let line = list
            .lines()
            .find(|line| line.contains(&format!("| {cell} |")));
        line.unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    // mean 0.62, sd 0.02; mean 0.73, sd √((0.03² + 0.01² + 0.04²)/2) = √0.0013; full of a: 0.82, 0.84.
    let rows = [
        ("ser data=a seed=0", json!({ "loop0": 0.60, "ser": 0.70 })),
        ("ser data=a seed=1", json!({ "loop0": 0.62, "ser": 0.72 })),
        ("ser data=a seed=2", json!({ "loop0": 0.64, "ser": 0.77 })),
        ("all data=a seed=0", json!({ "full": 0.82, "ser": null })),
        ("all data=a seed=1", json!({ "full": 0.84 })),
        ("ser data=b seed=0", json!({ "loop0": 0.5, "ser": 0.6 })),
        ("ser data=b seed=1", json!({ "loop0": 0.5 })),
        ("all data=b seed=0", json!({ "full": 0.9 })),
    ];
    let row =
        |id: String, fields| json!({ "plan": "tiny", "id": id, "status": 0, "fields": fields });
    let rows = rows.map(|(cell, fields)| row(id(cell), fields).to_string());
    let other = row("of another cell".to_owned(), json!({}));
    fs::create_dir_all(place.path("docs/results")).unwrap();
    let text_of_rows = format!("{}\n{other}\n", rows.join("\n"));
    fs::write(place.path("docs/results/tiny.jsonl"), text_of_rows).unwrap();
    let summary = text(&place.output("summary", &[]));
    for line in [
        "| cell | data | n | full | loop0 | ser | recovery of the means |",
        // (0.73 - 0.62) / (0.83 - 0.62), and (0.6 - 0.5) / (0.9 - 0.5).
        "| ser | a | 3 | – | 0.6200 ± 0.0200 | 0.7300 ± 0.0361 | 0.5238 |",
        "| all | a | 2 | 0.8300 ± 0.0141 | – | – | – |",
        "| ser | b | 2 | – | 0.5000 ± 0.0000 | 0.6000 (n 1) | 0.2500 |",
        "Recovery takes full from the cells `all` where a group has none.",
        "Without a result yet: all data=b seed=1, ser data=b seed=2.",
        "Left out: 1 rows of other cells.",
    ] {
        assert!(summary.contains(line), "{line}\n{summary}");
    }
}

#[test]
fn selections_are_compared_whatever_the_order_of_answers() {
    let place = Place::new("plain");
    let row = |prompt: &str, chosen: &str, rejected: &str, source: &str| {
        let row =
            json!({ "prompt": prompt, "chosen": chosen, "rejected": rejected, "source": source });
        format!("{row}\n")
    };
    let a = row("p", "x", "y", "offline") + &row("q", "x", "y", "offline");
    let b = row("p", "y", "x", "offline") + &row("q", "x", "y", "bootstrapped");
    fs::write(place.path("a"), a).unwrap();
    fs::write(place.path("b"), b).unwrap();
    fs::write(place.path("bad"), "{}").unwrap();
    let overlap = |files: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_collimate-experiments"));
        let command = command
            .arg("overlap")
            .args(files)
            .current_dir(place.dir.path());
        text(&command.output().unwrap())
    };
    let table = overlap(&["a", "b"]);
    assert!(table.contains("| 1 a | 2 | 1.000 | 0.500 |"), "{table}");
    assert!(table.contains("| 2 b | 1 | 0.500 | 1.000 |"), "{table}");
    let error = overlap(&["a", "bad"]);
    assert!(error.contains("bad:1: not a selected pair"), "{error}");
}

#[test]
fn the_first_line_estimates_the_hours() {
    let place = Place::new("plain");
    let said = |args: &[&str]| {
        let args = [&["--set", "data=d", "--program", "fake"], args].concat();
        let told = place.output("run", &args).stderr;
        let text = String::from_utf8(told).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    // Neither minutes nor rows: no estimate.
    assert_eq!(said(&["--only", "seed=0"]), "tiny: 1 of 1 cells to run");
    let text = fs::read_to_string(place.path("tiny.json")).unwrap();
    let mut plan: Value = serde_json::from_str(&text).unwrap();
    plan["minutes"] = json!(90);
    plan["args"][1] = json!("fresh");
    place.plan(&plan);
    let told = said(&["--only", "seed=0"]);
    assert_eq!(
        told,
        "tiny: 1 of 1 cells to run, about 1.5 hours of one core"
    );
    // The time that a cell took stands in for the minutes of the others.
    let told = said(&[]);
    assert_eq!(
        told,
        "tiny: 2 of 3 cells to run, about 0.0 hours of one core"
    );
    plan["minutes"] = json!(0);
    place.plan(&plan);
    let told = place.output("run", &["--set", "data=d"]).stderr;
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("minutes is 0 but must be above 0"), "{told}");
}
