//! Sweeps with programs that are shell scripts, and the numbers of the summary.

mod plans;
mod running;
mod summary;

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
pub(crate) const PROGRAM: &str = r#"#!/bin/sh
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
  wait) trap 'exit 130' INT TERM; while [ ! -e "$GATE" ]; do sleep 0.02; done ;;
esac
cat > "$out/summary.json" <<END
{"accuracy": {"ser": 0.$seed, "loop0": $share}, "models": [{"name": "loop0", "steps": 3},
 {"name": "ser", "steps": 1$seed}], "data": "$data/train.csv"}
END
"#;

pub(crate) struct Place {
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
        // A background job's children ignore Ctrl-C; here it must arrive.
        self.command_with("--default-signal=INT,TERM,HUP", args)
    }

    /// `signals`: an option of `env`.
    fn command_with(&self, signals: &str, args: &[&str]) -> Command {
        let mut command = Command::new("env");
        if cfg!(target_os = "linux") {
            command.arg(signals);
        }
        command
            .arg(env!("CARGO_BIN_EXE_collimate-bench"))
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
        Self::quiet(self.command(args))
    }

    fn quiet(mut command: Command) -> Child {
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

pub(crate) fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

pub(crate) fn plan(value: &Value) -> Plan {
    Plan::parse(&value.to_string(), "test").unwrap()
}

pub(crate) fn refusal(value: &Value) -> String {
    Plan::parse(&value.to_string(), "test")
        .unwrap_err()
        .to_string()
}

pub(crate) fn tiny(mode: &str) -> Value {
    json!({
        "name": "tiny", "program": "fake", "args": ["--mode", mode, "--data", "${data}"],
        "axes": { "seed": [0, 1, 2] },
        "keep": { "ser": "/accuracy/ser", "steps": "/models/name=ser/steps", "data": "/data" }
    })
}
