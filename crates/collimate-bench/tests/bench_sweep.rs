//! Sweeps with programs that are shell scripts, and the numbers of the summary.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use collimate_bench::{Plan, Results, Row, Summary};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Keeps the contract of the workspace's examples: `--out`, `--resume`, `config.json` first,
/// `summary.json` last, status 130 when asked to stop. `CALLS` names a log of its starts.
const PROGRAM: &str = r#"#!/bin/sh
seed=0; share=0; mode=plain; resume=no; config=none; data=none
while [ $# -gt 0 ]; do
  case "$1" in
    --out) out=$2; shift ;;
    --seed) seed=$2; shift ;;
    --seed-share) share=$2; shift ;;
    --mode) mode=$2; shift ;;
    --data) data=$2; shift ;;
    --config) config=$(tr -d ' \n' < "$2"); shift ;;
    --resume) resume=yes ;;
    *) echo "error: unknown $1" >&2; exit 2 ;;
  esac
  shift
done
mkdir -p "$out/checkpoints" "$out/model" "$out/plots"
echo '{}' > "$out/config.json"
echo "seed=$seed share=$share resume=$resume threads=$RAYON_NUM_THREADS config=$config" >> "$CALLS"
case "$mode" in
  fail) if [ "$seed" = 1 ] && [ ! -e "$GATE" ]; then
      echo "reading" >&2; echo "error: $data/train.csv has no rows" >&2; echo >&2; exit 3
    fi ;;
  wait) trap 'exit 130' INT; while [ ! -e "$GATE" ]; do sleep 0.02; done ;;
esac
cat > "$out/summary.json" <<END
{"accuracy": {"ser": 0.$seed, "loop0": $share}, "models": [{"name": "loop0", "steps": 3},
 {"name": "ser", "steps": 1$seed}], "data": "$data/train.csv"}
END
"#;

struct Place {
    dir: TempDir,
    plan: PathBuf,
}

impl Place {
    fn new(plan: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let program = bin.join("fake");
        fs::write(&program, PROGRAM).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let path = dir.path().join("plan.json");
        fs::write(&path, plan.to_string()).unwrap();
        Self { dir, plan: path }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_collimate-bench"));
        command
            .current_dir(self.dir.path())
            .args(["sweep", "plan.json", "--bin-dir", "bin"])
            .args(args)
            .env("CALLS", self.path("calls.log"))
            .env("GATE", self.path("gate"))
            .env("GIT_CEILING_DIRECTORIES", self.dir.path().parent().unwrap())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    fn sweep(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    fn rows(&self) -> Vec<Row> {
        Results::new(self.path("docs/results/tiny.jsonl"))
            .rows()
            .unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn wait_for_calls(&self, count: usize) {
        let started = Instant::now();
        while self.calls().len() < count {
            assert!(started.elapsed() < Duration::from_secs(60), "no start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn run_folder(&self, row: &Row) -> PathBuf {
        self.path("runs/sweep/tiny").join(&row.id).join("run")
    }
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

fn plan(value: &Value) -> Plan {
    Plan::parse(&value.to_string(), "test").unwrap()
}

fn refusal(value: &Value) -> String {
    Plan::parse(&value.to_string(), "test")
        .unwrap_err()
        .to_string()
}

fn tiny(mode: &str) -> Value {
    json!({
        "name": "tiny", "program": "fake", "args": ["--mode", mode, "--data", "${data}"],
        "axes": { "seed": [0, 1, 2] },
        "keep": { "ser": "/accuracy/ser", "steps": "/models/name=ser/steps", "data": "/data" }
    })
}

#[test]
fn a_grid_is_the_product_of_its_axes_with_the_first_seed_first() {
    let plan = plan(&json!({
        "name": "grid", "program": "ser", "args": ["--lora"], "config": { "ser": { "a": 1, "b": 1 } },
        "axes": { "seed": [0, 1] },
        "cells": [
            { "name": "x", "axes": {
                "seed_share": [0.01, 0.15],
                "data": [{ "name": "both", "args": ["--data", "${d}/a", "--data", "${d}/b"],
                           "config": { "ser": { "b": 2 } } }],
            }},
            { "name": "y", "args": ["--loops", "1"], "axes": { "seed": [7], "resize": [true, false] } }
        ]
    }));
    let cells = plan.expand().unwrap();
    let names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
    let expected = [
        "x data=both seed_share=0.01 seed=0",
        "x data=both seed_share=0.15 seed=0",
        "y resize=true seed=7",
        "y resize=false seed=7",
        "x data=both seed_share=0.01 seed=1",
        "x data=both seed_share=0.15 seed=1",
    ];
    assert_eq!(names, expected);
    let args = "--lora --data ${d}/a --data ${d}/b --seed-share 0.15 --seed 1";
    assert_eq!(cells[5].args.join(" "), args);
    assert_eq!(
        Value::Object(cells[5].config.clone()),
        json!({ "ser": { "a": 1, "b": 2 } })
    );
    assert_eq!(
        json!(cells[5].axes),
        json!({ "cell": "x", "data": "both", "seed_share": 0.15, "seed": 1 })
    );
    assert_eq!(
        cells[2].args.join(" "),
        "--lora --loops 1 --resize --seed 7"
    );
    assert_eq!(cells[3].args.join(" "), "--lora --loops 1 --seed 7");
    assert!(
        cells[0].fits("share=0.01") && cells[0].fits("x*seed=?") && cells[0].fits(&cells[0].id)
    );
    assert!(!cells[0].fits("x*seed=1") && !cells[0].fits("y") && !cells[0].fits("seed*"));
}

#[test]
fn an_id_stays_as_long_as_the_run_stays_the_same() {
    let base = json!({
        "name": "a", "program": "ser", "args": ["--data", "${data}"],
        "config": { "ser": { "x": 1, "y": [1, 2] }, "b": 1 }, "axes": { "seed": [3] }
    });
    let id = |change: &dyn Fn(&mut Value)| {
        let mut value = base.clone();
        change(&mut value);
        plan(&value).expand().unwrap()[0].id.clone()
    };
    let same = id(&|_| {});
    // Rows in the repository are found by it: a change here orphans them all.
    assert_eq!(same, "627f01ad1df0");
    assert_eq!(same, id(&|v| v["name"] = json!("b")));
    assert_eq!(same, id(&|v| v["cells"] = json!([{ "name": "named" }])));
    assert_eq!(same, id(&|v| v["keep"] = json!({ "ser": "/x" })));
    let turned = r#"{"b": 1, "ser": {"y": [1, 2], "x": 1}}"#;
    assert_eq!(
        same,
        id(&|v| v["config"] = serde_json::from_str(turned).unwrap())
    );
    for change in [
        (&|v: &mut Value| v["program"] = json!("dpo")) as &dyn Fn(&mut Value),
        &|v| v["args"] = json!(["--data", "${model}"]),
        &|v| v["axes"]["seed"] = json!([4]),
        &|v| v["config"]["ser"]["y"] = json!([2, 1]),
    ] {
        assert_ne!(same, id(change));
    }
}

#[test]
fn plans_that_cannot_be_meant_are_refused() {
    let with = |key: &str, value: Value| {
        let mut plan = tiny("plain");
        plan[key] = value;
        refusal(&plan)
    };
    assert!(with("name", json!("../x")).contains("lower-case"));
    assert!(with("program", json!("bin/ser")).contains("without a folder"));
    assert!(with("args", json!(["/data/x.csv"])).contains("--set"));
    assert!(with("axes", json!({ "seed": [] })).contains("axis seed has no value"));
    assert!(with("axes", json!({ "seed": [[1]] })).contains("allowed"));
    assert!(with("axes", json!({ "cell": [1] })).contains("cannot have the name"));
    assert!(with("axes", json!({ "seed": [1, 1] })).contains("same run"));
    assert!(with("keep", json!({ "ser": "accuracy.ser" })).contains("JSON pointer"));
    assert!(with("cells", json!([{ "name": "a" }, { "name": "a" }])).contains("twice"));
    assert!(with("borrow", json!({ "full": "all" })).contains("no such cells"));
    assert!(with("seeds", json!(3)).contains("unknown field"));
}

#[test]
fn finished_cells_are_not_run_again() {
    let mut value = tiny("plain");
    value["config"] = json!({ "ser": { "folder": "${data}/x" } });
    let place = Place::new(&value);
    let data = place.path("sets").display().to_string();
    let set = format!("data={data}");
    let missing = place.sweep(&[]);
    assert!(!missing.status.success());
    assert!(text(&missing).contains("error: ${data} has no value: give --set data=VALUE"));
    assert!(place.calls().is_empty());

    let first = place.sweep(&["--set", &set, "--only", "seed=1", "--jobs", "1"]);
    assert!(first.status.success(), "{}", text(&first));
    let call =
        format!("seed=1 share=0 resume=no threads= config={{\"ser\":{{\"folder\":\"{data}/x\"}}}}");
    assert_eq!(place.calls(), [call]);
    // What a killed runner may leave at the end.
    let results = place.path("docs/results/tiny.jsonl");
    let whole = fs::read_to_string(&results).unwrap();
    fs::write(&results, format!("{whole}{}", &whole[..40])).unwrap();

    let second = place.sweep(&["--set", &set, "--jobs", "2"]);
    assert!(second.status.success(), "{}", text(&second));
    assert_eq!(place.calls().len(), 3);
    let rows = place.rows();
    let mut seeds: Vec<&Value> = rows.iter().map(|row| &row.axes["seed"]).collect();
    assert_eq!(seeds.remove(0), &json!(1));
    assert!(seeds.contains(&&json!(0)) && seeds.contains(&&json!(2)));
    assert_eq!(rows[0].threads, None);
    for row in &rows[1..] {
        assert_eq!(row.threads, Some(1));
    }
    assert!(
        place.calls()[1..]
            .iter()
            .all(|call| call.contains("threads=1 "))
    );
    assert_eq!(rows[0].fields["ser"], json!(0.1));
    assert_eq!(rows[0].fields["steps"], json!(11));
    assert_eq!((rows[0].status, rows[0].resumed), (Some(0), false));
    // No path of this machine, not even in a kept text.
    assert_eq!(rows[0].fields["data"], json!("${data}/train.csv"));
    let lines = fs::read_to_string(&results).unwrap();
    assert!(!lines.contains(&*place.dir.path().to_string_lossy()));

    let third = place.sweep(&["--set", &set]);
    assert!(third.status.success());
    assert_eq!((place.calls().len(), place.rows().len()), (3, 3));
    assert!(text(&third).contains("0 finished, 0 failed, 3 done before"));
    let run = place.run_folder(&rows[0]);
    assert!(run.join("summary.json").exists() && run.join("plots").exists());
    assert!(!run.join("checkpoints").exists() && !run.join("model").exists());
}

#[test]
fn a_failing_cell_is_a_row_and_is_retried_only_when_asked() {
    let place = Place::new(&tiny("fail"));
    let data = place.path("sets").display().to_string();
    let args = ["--set", &format!("data={data}"), "--keep"];
    let first = place.sweep(&args);
    assert_eq!(first.status.code(), Some(1), "{}", text(&first));
    let failed: Vec<Row> = place
        .rows()
        .into_iter()
        .filter(|row| !row.is_ok())
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].status, Some(3));
    assert_eq!(
        failed[0].error.as_deref(),
        Some("error: ${data}/train.csv has no rows")
    );
    assert!(failed[0].fields.is_empty());
    assert_eq!(place.calls().len(), 3);
    assert!(place.sweep(&args).status.success());
    assert_eq!(place.calls().len(), 3);
    assert!(text(&place.sweep(&["--list"])).contains("failed"));
    assert!(
        text(&place.sweep(&["--summary"])).contains("Failed, in no mean: seed=1: error: ${data}")
    );

    fs::write(place.path("gate"), "").unwrap();
    assert!(
        place
            .sweep(&[&args[..], &["--retry-failed"]].concat())
            .status
            .success()
    );
    assert_eq!(place.calls().len(), 4);
    assert!(place.calls()[3].starts_with("seed=1 share=0 resume=yes"));
    let rows = place.rows();
    assert_eq!(rows.len(), 4);
    assert!(rows[3].is_ok() && rows[3].resumed);
    assert!(place.run_folder(&rows[3]).join("checkpoints").exists());
    let summary = text(&place.sweep(&["--summary", "--all"]));
    // Seeds 0, 1, 2 report .0, .1, .2.
    assert!(
        summary.contains("| 3 | 0.1000 ± 0.1000 | 11.00 ± 1.0000 |"),
        "{summary}"
    );
    assert!(
        summary.contains("| seed=2 | ${data}/train.csv | 0.2000 | 12.00 |"),
        "{summary}"
    );
}

#[test]
fn ctrl_c_asks_the_programs_and_leaves_no_row() {
    let place = Place::new(&tiny("wait"));
    let mut runner = place.start(&["--set", "data=d", "--jobs", "2"]);
    place.wait_for_calls(2);
    let kill = ["-c", "kill -INT \"$1\"", "sh", &runner.id().to_string()];
    assert!(Command::new("sh").args(kill).status().unwrap().success());
    assert_eq!(runner.wait().unwrap().code(), Some(130));
    assert_eq!(place.calls().len(), 2);
    assert!(place.rows().is_empty());

    fs::write(place.path("gate"), "").unwrap();
    assert!(place.sweep(&["--set", "data=d"]).status.success());
    let again = place.calls().split_off(2);
    assert_eq!(
        again
            .iter()
            .filter(|call| call.contains("resume=yes"))
            .count(),
        2
    );
    assert_eq!(place.rows().iter().filter(|row| row.resumed).count(), 2);
}

#[test]
fn a_program_that_outlives_its_runner_is_waited_for() {
    let place = Place::new(&tiny("wait"));
    let args = ["--set", "data=d", "--only", "seed=0"];
    let mut runner = place.start(&args);
    place.wait_for_calls(1);
    runner.kill().unwrap();
    runner.wait().unwrap();
    let mut next = place.start(&args);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(place.calls().len(), 1, "two programs in one run folder");
    fs::write(place.path("gate"), "").unwrap();
    assert!(next.wait().unwrap().success());
    assert!(place.calls()[1].contains("resume=yes"));
    assert_eq!(place.rows().len(), 1);
}

#[test]
fn two_runners_share_a_plan() {
    let place = Place::new(&tiny("wait"));
    let mut runners: Vec<Child> = (0..2)
        .map(|_| place.start(&["--set", "data=d", "--jobs", "3"]))
        .collect();
    place.wait_for_calls(3);
    fs::write(place.path("gate"), "").unwrap();
    for runner in &mut runners {
        assert!(runner.wait().unwrap().success());
    }
    assert_eq!((place.calls().len(), place.rows().len()), (3, 3));
}

#[test]
fn rows_name_and_make_commits() {
    let place = Place::new(&tiny("plain"));
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .current_dir(place.dir.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q"]);
    git(&["config", "user.name", "t"]);
    git(&["config", "user.email", "t@example.org"]);
    git(&["add", "plan.json"]);
    git(&["commit", "-q", "-m", "plan"]);
    let head = git(&["rev-parse", "HEAD"]);
    let output = place.sweep(&["--set", "data=d", "--commit"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(git(&["log", "--format=%s"]).lines().count(), 4);
    assert_eq!(git(&["status", "--porcelain", "-uno"]), "");
    let rows = place.rows();
    assert!(
        rows.iter()
            .all(|row| row.commit.as_deref() == Some(&*head) && !row.dirty)
    );

    let changed = fs::read_to_string(&place.plan)
        .unwrap()
        .replace("[0,1,2]", "[0,1,2,3]");
    fs::write(&place.plan, changed).unwrap();
    assert!(place.sweep(&["--set", "data=d"]).status.success());
    let rows = place.rows();
    assert_eq!(rows.len(), 4);
    assert!(rows[3].dirty && rows[3].commit.as_deref() != Some(&*head));
}

#[test]
fn summaries_agree_with_a_hand_calculation() {
    let plan = plan(&json!({
        "name": "s", "program": "ser", "axes": { "seed": [0, 1, 2], "data": ["a", "b"] },
        "cells": [
            { "name": "ser" },
            { "name": "all", "args": ["--x"], "axes": { "seed": [0, 1] } },
        ],
        "keep": { "ser": "/s" }, "borrow": { "full": "all" }
    }));
    // mean .62, sd .02; mean .73, sd √((.03² + .01² + .04²)/2) = √.0013; full of a: .82, .84.
    let values: BTreeMap<&str, Value> = [
        (
            "ser data=a seed=0",
            json!({ "loop0": 0.60, "ser": 0.70, "status": "easy" }),
        ),
        (
            "ser data=a seed=1",
            json!({ "loop0": 0.62, "ser": 0.72, "status": "hard" }),
        ),
        ("ser data=a seed=2", json!({ "loop0": 0.64, "ser": 0.77 })),
        ("all data=a seed=0", json!({ "full": 0.82 })),
        ("all data=a seed=1", json!({ "full": 0.84 })),
        ("ser data=b seed=0", json!({ "loop0": 0.5, "ser": 0.6 })),
        ("ser data=b seed=1", json!({ "loop0": 0.5 })),
        ("all data=b seed=0", json!({ "full": 0.9 })),
    ]
    .into();
    let mut rows: Vec<Row> = plan
        .expand()
        .unwrap()
        .into_iter()
        .filter_map(|cell| {
            let fields = serde_json::from_value(values.get(cell.name.as_str())?.clone()).unwrap();
            Some(row(&cell.id, fields))
        })
        .collect();
    assert_eq!(rows.len(), 8);
    rows.push(row("of another plan", BTreeMap::new()));
    let summary = Summary::new(&plan, &rows).unwrap();
    assert_eq!(summary.foreign, 1);
    let missing = ["ser data=b seed=2", "all data=b seed=1"];
    assert!(
        missing
            .iter()
            .all(|name| summary.missing.contains(&(*name).to_owned()))
    );
    assert_eq!(summary.missing.len(), 2);
    let group = |cell: &str, data: &str| {
        let axes = BTreeMap::from([
            ("cell".to_owned(), json!(cell)),
            ("data".to_owned(), json!(data)),
        ]);
        summary
            .groups
            .iter()
            .find(|group| group.axes == axes)
            .unwrap()
    };
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    let a = group("ser", "a");
    assert_eq!((a.n, a.fields.len()), (3, 2));
    close(a.fields["loop0"].mean, 0.62);
    close(a.fields["loop0"].sd.unwrap(), 0.02);
    close(a.fields["ser"].mean, 0.73);
    close(a.fields["ser"].sd.unwrap(), 0.0013_f64.sqrt());
    close(a.recovery.unwrap(), 0.11 / 0.21);
    let b = group("ser", "b");
    assert_eq!((b.n, b.fields["ser"].n, b.fields["ser"].sd), (2, 1, None));
    close(b.recovery.unwrap(), 0.1 / 0.4);
    assert_eq!(group("all", "a").recovery, None);
    let text = summary.to_string();
    for line in [
        "| cell | data | n | full | loop0 | ser | recovery of the means |",
        "| ser | a | 3 | – | 0.6200 ± 0.0200 | 0.7300 ± 0.0361 | 0.5238 |",
        "| all | a | 2 | 0.8300 ± 0.0141 | – | – | – |",
        "| ser | b | 2 | – | 0.5000 ± 0.0000 | 0.6000 (n 1) | 0.2500 |",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

fn row(id: &str, fields: BTreeMap<String, Value>) -> Row {
    let value = json!({
        "plan": "s", "id": id, "cell": "", "axes": {}, "commit": null, "dirty": false,
        "binary": "", "threads": null, "seconds": 1.0, "status": 0, "fields": fields
    });
    serde_json::from_value(value).unwrap()
}

#[test]
fn the_committed_plans_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut counts = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let plan = Plan::read(&path).unwrap();
        assert_eq!(path.file_stem().unwrap(), plan.name.as_str());
        let variables = plan.variables().unwrap();
        assert!(
            variables
                .iter()
                .all(|name| ["data", "model"].contains(&name.as_str()))
        );
        counts.insert(plan.name.clone(), plan.expand().unwrap().len());
    }
    assert_eq!(counts["ser-world"], 5);
    // Two shares by three seeds, Loop 0 by three, all labels by two.
    assert_eq!(counts["ser-ethics"], 11);
    assert_eq!(counts["ser-hh"], 4);
}
