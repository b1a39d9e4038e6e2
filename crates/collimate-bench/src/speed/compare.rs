//! Comparison of two libraries, run in turn.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::Value;

use super::Failure;
use super::options::{NumberType, Work};
use super::prepare::{Prepared, prepare};

/// Options of a comparison.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// Python with torch, transformers and trl
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: PathBuf,
    /// Script that runs the other library
    #[arg(
        long,
        value_name = "FILE",
        default_value = "crates/collimate-bench/peers/bench.py"
    )]
    pub script: PathBuf,
    /// Folder with another version of the package trl, for ppo: 1.12 is the last version that has PPO
    #[arg(long, value_name = "DIR")]
    pub trl: Option<PathBuf>,
    /// Number type of the other library's model; not for ppo
    #[arg(long, value_enum, default_value_t = NumberType::F32)]
    pub peer_type: NumberType,
    /// Compare generation with llama.cpp, which reads this GGUF file, instead of transformers
    #[arg(long, value_name = "FILE.gguf")]
    pub gguf: Option<PathBuf>,
    /// Number of times that each side runs
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    /// Number of threads of both sides; by default the number of cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// File to which the line of every run is appended
    #[arg(long, value_name = "FILE.jsonl")]
    pub out: Option<PathBuf>,
    /// Work to compare
    #[command(subcommand)]
    pub work: Work,
}

impl CompareArgs {
    /// Returns the name of the other side's number type in PyTorch.
    fn dtype(&self) -> String {
        match self.peer_type {
            NumberType::F32 => "float32",
            NumberType::Bf16 => "bfloat16",
        }
        .to_owned()
    }
}

/// Runs both sides in turn and returns medians, spread and ratios as a table.
///
/// # Errors
/// Returns an error if a side fails or a file cannot be written.
pub fn compare(args: &CompareArgs) -> Result<String, Failure> {
    let from = prepare(&args.work)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map_or(cores, usize::from);
    let mut sides = [Vec::new(), Vec::new()];
    for round in 1..=args.rounds {
        for (side, lines) in sides.iter_mut().enumerate() {
            let line = match side {
                0 => ours(&args.work, threads)?,
                _ => theirs(args, &from, threads)?,
            };
            eprintln!(
                "round {round} of {}: {}  {}  {} MB",
                args.rounds,
                line["library"].as_str().unwrap_or_default(),
                speed(&line),
                line["peak_rss_mb"],
            );
            if let Some(out) = &args.out {
                append(out, &line)?;
            }
            lines.push(line);
        }
    }
    Ok(table(&args.work, &sides))
}

/// Runs this same program again, so that the memory is that of the work alone.
fn ours(work: &Work, threads: usize) -> Result<Value, Failure> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command
        .args(work.arguments())
        .env("RAYON_NUM_THREADS", threads.to_string());
    last_line(command)
}

fn theirs(args: &CompareArgs, from: &Prepared, threads: usize) -> Result<Value, Failure> {
    let mut command = Command::new(&args.python);
    let common = args.work.common();
    command.arg(&args.script).arg(args.work.name());
    let mut option = |name: &str, value: String| {
        command.arg(format!("--{name}")).arg(value);
    };
    let path = |path: &Path| path.display().to_string();
    option("model", path(&from.model));
    option("rows", path(&from.rows));
    option("steps", common.steps.to_string());
    option("warmup", common.warmup.to_string());
    option("threads", threads.to_string());
    match &args.work {
        Work::Sft(train) | Work::Rm(train) | Work::Dpo(train) => {
            option("batch", args.work.batch().to_string());
            option("learning-rate", train.learning_rate.to_string());
            option("dtype", args.dtype());
            if let Some(rank) = train.lora {
                option("lora", rank.to_string());
            }
            if train.gradient_checkpointing {
                option("checkpointing", "1".to_owned());
            }
        }
        Work::Ppo(ppo) => {
            option(
                "reward-model",
                path(from.reward.as_deref().unwrap_or(Path::new(""))),
            );
            option("rollout-size", ppo.rollout_size.to_string());
            option("mini-batch", ppo.mini_batch.to_string());
            option("ppo-epochs", ppo.ppo_epochs.to_string());
            option("new-tokens", ppo.new_tokens.to_string());
            option("learning-rate", ppo.learning_rate.to_string());
            if let Some(rank) = ppo.lora {
                option("lora", rank.to_string());
            }
            if let Some(trl) = &args.trl {
                option("trl", path(trl));
            }
        }
        Work::Generate(generate) => {
            option("batch", generate.batch.to_string());
            option("new-tokens", generate.new_tokens.to_string());
            option("temperature", generate.temperature.to_string());
            option("dtype", args.dtype());
            if let Some(gguf) = &args.gguf {
                option("gguf", path(gguf));
            }
        }
    }
    last_line(command)
}

/// Runs a program and reads its measurement from the last line of output.
pub(crate) fn last_line(mut command: Command) -> Result<Value, Failure> {
    let program = command.get_program().display().to_string();
    let run = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let out = String::from_utf8_lossy(&run.stdout);
    let line = out.lines().map(str::trim).rfind(|line| !line.is_empty());
    let measured = line.and_then(|line| serde_json::from_str(line).ok());
    match measured {
        Some(line) if run.status.success() => Ok(line),
        _ => {
            let errors = String::from_utf8_lossy(&run.stderr);
            let mut last: Vec<&str> = errors.lines().rev().take(8).collect();
            last.reverse();
            Err(format!("{program} ended with {}: {}", run.status, last.join(" | ")).into())
        }
    }
}

fn append(path: &Path, line: &Value) -> Result<(), Failure> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{line}"));
    Ok(written.map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Returns the speed that decides: pairs per second if there are pairs, otherwise tokens per second.
fn decisive(line: &Value) -> (&'static str, f64) {
    match line["pairs_per_s"].as_f64() {
        Some(pairs) => ("pairs/s", pairs),
        None => (
            "tokens/s",
            line["real_tokens_per_s"].as_f64().unwrap_or(f64::NAN),
        ),
    }
}

fn speed(line: &Value) -> String {
    let (unit, value) = decisive(line);
    format!("{value:.2} {unit}")
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

fn table(work: &Work, sides: &[Vec<Value>; 2]) -> String {
    let column = |side: usize, of: &dyn Fn(&Value) -> f64| -> Vec<f64> {
        sides[side].iter().map(of).collect()
    };
    let number = |name: &'static str| move |line: &Value| line[name].as_f64().unwrap_or(f64::NAN);
    let unit = decisive(&sides[0][0]).0;
    let mut text = format!(
        "{}: median of {} runs in turn (lowest to highest)\n",
        work.name(),
        sides[0].len()
    );
    let show = |values: Vec<f64>, digits: usize| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let middle = median(values);
        format!("{middle:.digits$} ({low:.digits$} to {high:.digits$})")
    };
    let library = |side: usize| sides[side][0]["library"].as_str().unwrap_or("?").to_owned();
    text += &format!(
        "{:<18} {:>32} {:>32} {:>8}\n",
        "",
        library(0),
        library(1),
        "ratio"
    );
    let rate = |line: &Value| decisive(line).1;
    let memory = number("peak_rss_mb");
    for (name, of, digits) in [
        (unit, &rate as &dyn Fn(&Value) -> f64, 2),
        ("real tokens/s", &number("real_tokens_per_s"), 0),
        ("peak RSS, MB", &memory, 0),
    ] {
        let [a, b] = [0, 1].map(|side| column(side, of));
        let ratio = median(a.clone()) / median(b.clone());
        text += &format!(
            "{name:<18} {:>32} {:>32} {ratio:>8.3}\n",
            show(a, digits),
            show(b, digits)
        );
    }
    text += &format!(
        "{:<18} {:>32}\n",
        "share of gemm peak",
        show(column(0, &number("gemm_share")), 3)
    );
    if let Some(far) = farthest_loss(&sides[0][0], &sides[1][0]) {
        text += &format!("losses differ by at most {far:.1e}, relative\n");
    }
    text
}

/// Returns the largest relative difference between the losses of both sides, step by step.
fn farthest_loss(ours: &Value, theirs: &Value) -> Option<f64> {
    let [a, b] = [ours, theirs].map(|line| line["losses"].as_array());
    let (a, b) = (a?, b?);
    let far = a.iter().zip(b).map(|(a, b)| {
        let (a, b) = (
            a.as_f64().unwrap_or(f64::NAN),
            b.as_f64().unwrap_or(f64::NAN),
        );
        (a - b).abs() / b.abs().max(1e-12)
    });
    (!a.is_empty() && a.len() == b.len()).then(|| far.fold(0.0, f64::max))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_middle_is_found() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn losses_are_compared_step_by_step() {
        let line = |losses: &[f64]| json!({"losses": losses});
        let far = farthest_loss(&line(&[1.0, 2.0]), &line(&[1.0, 2.5])).unwrap();
        assert!((far - 0.2).abs() < 1e-12);
        assert_eq!(farthest_loss(&line(&[1.0]), &line(&[1.0, 2.0])), None);
        assert_eq!(farthest_loss(&line(&[]), &line(&[])), None);
    }
}
