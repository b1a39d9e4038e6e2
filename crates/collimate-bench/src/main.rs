//! `collimate-bench sweep`: runs a plan's cells, one per core, and remembers what is done.
//! `collimate-bench trace-dpo`: a DPO training that another library can repeat.
//! `collimate-bench overlap`: do runs of SeRA select the same pairs?
//! `collimate-bench sft|rm|dpo|ppo|generate`: how fast is it? `compare`: against TRL; `growth`: with
//! longer pairs and larger vocabularies.

mod allocator;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use collimate_bench::speed::{self, CompareArgs, GrowthArgs, Work};
use collimate_bench::{
    BenchError, Plan, Results, Summary, Sweep, SweepOptions, TraceOptions, Variables, cell_list,
    cell_table, overlap_table, trace,
};

/// Sweeps over the examples of this workspace, and traces for comparison with other libraries.
#[derive(Debug, Parser)]
#[command(name = "collimate-bench", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run what a plan's results file does not have yet
    Sweep(SweepArgs),
    /// Train by DPO and write each step's loss with the ids of its pairs
    TraceDpo(TraceArgs),
    /// Compare the offline pairs that runs of SeRA selected (Jaccard similarity)
    Overlap(OverlapArgs),
    #[command(flatten)]
    Speed(Work),
    /// Run a work here and in TRL or transformers, in turn, and print the ratios
    #[command(subcommand_value_name = "WORK")]
    Compare(CompareArgs),
    /// Measure how DPO's time and memory grow with a pair's length and with the vocabulary
    Growth(GrowthArgs),
    /// Make the models and rows of a work and print where they are
    #[command(subcommand_value_name = "WORK")]
    Prepare(PrepareArgs),
}

#[derive(Debug, clap::Args)]
struct PrepareArgs {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, clap::Args)]
struct OverlapArgs {
    /// Files selections/NAME-ITERATION.jsonl of runs over the same pairs
    #[arg(value_name = "FILE.jsonl", num_args = 2.., required = true)]
    files: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct TraceArgs {
    /// Hugging Face folder of a Llama: policy and reference
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Preference pairs
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Where to write a row per step
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
    /// The loss
    #[arg(long, value_name = "NAME", default_value = "dpo")]
    loss: String,
    /// Optimiser steps
    #[arg(long, value_name = "N", default_value_t = 20)]
    steps: usize,
    /// Pairs per step
    #[arg(long, value_name = "N", default_value_t = 4)]
    batch: usize,
    /// Learning rate
    #[arg(long, value_name = "RATE", default_value_t = 1e-4)]
    lr: f64,
    /// Longest sequence in tokens
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_length: usize,
}

#[derive(Debug, clap::Args)]
struct SweepArgs {
    /// The plan
    #[arg(value_name = "PLAN.json")]
    plan: PathBuf,
    /// Value of the plan's ${NAME}
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// File of the rows; by default docs/results/<plan>.jsonl
    #[arg(long, value_name = "FILE.jsonl")]
    results: Option<PathBuf>,
    /// Cells at a time, each with one thread if above 1; by default the number of cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Only cells whose name or id has this in it, or fits it if it has * or ?
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Run failed cells again
    #[arg(long)]
    retry_failed: bool,
    /// Keep checkpoints and models of finished runs
    #[arg(long)]
    keep: bool,
    /// Commit the results file after each row
    #[arg(long)]
    commit: bool,
    /// Work folders are DIR/<plan>/<cell id>
    #[arg(long, value_name = "DIR", default_value = "runs/sweep")]
    work: PathBuf,
    /// Folder of the programs; by default examples/ beside this program
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Print all cells and what is done, and exit
    #[arg(long, group = "instead")]
    list: bool,
    /// Print the commands that would run, and exit
    #[arg(long, group = "instead")]
    dry_run: bool,
    /// Print mean and spread over seeds of what is done, and exit
    #[arg(long, group = "instead")]
    summary: bool,
    /// With --summary: also a table of every cell
    #[arg(long, requires = "summary")]
    all: bool,
}

fn main() -> ExitCode {
    allocator::keep_memory();
    let result = match Args::parse().command {
        Command::Sweep(args) => sweep(&args).map_err(Into::into),
        Command::TraceDpo(args) => trace_dpo(&args),
        Command::Speed(work) => measure(&work),
        Command::Compare(args) => speed::compare(&args)
            .map(|table| done(&table))
            .map_err(plain),
        Command::Growth(args) => speed::growth(&args)
            .map(|line| done(&format!("{line}\n")))
            .map_err(plain),
        Command::Prepare(args) => speed::prepare(&args.work)
            .map(|from| {
                done(&format!(
                    "model {}\nrows {}\n",
                    from.model.display(),
                    from.rows.display()
                ))
            })
            .map_err(plain),
        Command::Overlap(args) => overlap_table(&args.files)
            .map(|table| {
                show(&table);
                ExitCode::SUCCESS
            })
            .map_err(Into::into),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", error.to_string().replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

/// Makes what is missing in another process, so that the memory measured here is the work's.
fn measure(work: &Work) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let from = match speed::prepared(work).map_err(plain)? {
        Some(from) => from,
        None => {
            let program = std::env::current_exe()?;
            let mut command = std::process::Command::new(program);
            let status = command
                .arg("prepare")
                .args(work.arguments())
                .stdout(std::process::Stdio::null())
                .status()?;
            if !status.success() {
                return Ok(ExitCode::FAILURE);
            }
            speed::prepared(work)
                .map_err(plain)?
                .ok_or("the inputs were made and are not there")?
        }
    };
    let line = speed::measure(work, &from).map_err(plain)?;
    Ok(done(&format!("{line}\n")))
}

fn done(text: &str) -> ExitCode {
    show(text);
    ExitCode::SUCCESS
}

fn plain(error: Box<dyn std::error::Error + Send + Sync>) -> Box<dyn std::error::Error> {
    error
}

fn trace_dpo(args: &TraceArgs) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let rows = trace(&TraceOptions {
        model: &args.model,
        data: &args.data,
        loss: args.loss.parse()?,
        steps: args.steps,
        batch: args.batch,
        learning_rate: args.lr,
        max_length: args.max_length,
    })?;
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    collimate::files::atomic_write(&args.out, text.as_bytes())?;
    show(&format!(
        "{} steps: {}\n",
        rows.len() - 1,
        args.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn sweep(args: &SweepArgs) -> Result<ExitCode, BenchError> {
    let plan = Plan::read(&args.plan)?;
    let mut variables = Variables::default();
    for text in &args.set {
        variables.set(text)?;
    }
    let default_results = || PathBuf::from(format!("docs/results/{}.jsonl", plan.name));
    let options = SweepOptions {
        results: args.results.clone().unwrap_or_else(default_results),
        work: args.work.clone(),
        bin_dir: args.bin_dir.clone().unwrap_or_else(beside),
        jobs: args.jobs.map_or_else(cores, usize::from),
        variables,
        retry_failed: args.retry_failed,
        keep: args.keep,
        commit: args.commit,
    };
    let sweep = Sweep::new(&plan, &options, args.only.as_deref())?;
    if args.list {
        show(&cell_list(sweep.cells(), &sweep.rows()?));
        return Ok(ExitCode::SUCCESS);
    }
    if args.summary {
        let mut rows = Results::new(&options.results).rows()?;
        rows.retain(|row| row.plan == plan.name);
        show(&Summary::new(&plan, &rows)?.to_string());
        if args.all {
            show(&format!("\n{}", cell_table(sweep.cells(), &sweep.rows()?)));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        for command in sweep.commands()? {
            show(&format!("{command}\n"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let outcome = sweep.run()?;
    eprintln!(
        "{}: {} finished, {} failed, {} done before; rows: {}{}",
        plan.name,
        outcome.finished,
        outcome.failed,
        outcome.skipped,
        options.results.display(),
        match outcome.interrupted {
            true => "; interrupted: the same command goes on from here",
            false => "",
        }
    );
    Ok(match outcome {
        outcome if outcome.interrupted => ExitCode::from(130),
        outcome if outcome.failed + outcome.stopped > 0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

/// Whoever reads may have seen enough and closed the pipe.
fn show(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Where cargo puts examples, seen from a binary of the same build.
fn beside() -> PathBuf {
    let folder = std::env::current_exe()
        .ok()
        .and_then(|path| path.parent().map(|folder| folder.join("examples")));
    folder.unwrap_or_else(|| PathBuf::from("examples"))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
