//! Measures speed: `collimate-bench sft|rm|dpo|ppo|generate`. `compare` measures against TRL,
//! `growth` with longer pairs and larger vocabularies. `collimate-bench trace-dpo` writes a DPO
//! training that another library can repeat.

mod allocator;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use collimate::nn::LoraConfig;
use collimate_bench::speed::{self, CompareArgs, GrowthArgs, Work};
use collimate_bench::{TraceOptions, trace};

/// Measures speed, and writes traces for comparison with other libraries.
#[derive(Debug, Parser)]
#[command(name = "collimate-bench", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train by DPO and write each step's loss with the ids of its pairs
    TraceDpo(TraceArgs),
    #[command(flatten)]
    Speed(Work),
    /// Run one kind of work here and in TRL or transformers, in turn, and print the ratios
    #[command(subcommand_value_name = "WORK")]
    Compare(CompareArgs),
    /// Measure how DPO's time and memory grow with a pair's length and with the vocabulary
    Growth(GrowthArgs),
    /// Make the models and rows for one kind of work and print their paths
    #[command(subcommand_value_name = "WORK")]
    Prepare(PrepareArgs),
}

#[derive(Debug, clap::Args)]
struct PrepareArgs {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, clap::Args)]
struct TraceArgs {
    /// Hugging Face folder of a Llama, used as policy and reference model
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// File of preference pairs
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// File to write, with a row per step
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
    /// Loss to train with
    #[arg(long, value_name = "NAME", default_value = "dpo")]
    loss: String,
    /// Number of optimiser steps
    #[arg(long, value_name = "N", default_value_t = 20)]
    steps: usize,
    /// Number of pairs per step
    #[arg(long, value_name = "N", default_value_t = 4)]
    batch: usize,
    /// Learning rate
    #[arg(long, value_name = "RATE", default_value_t = 1e-4)]
    lr: f64,
    /// Longest sequence, in tokens
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_length: usize,
    /// Train adapters of this rank (alpha is four times the rank, no dropout) instead of all weights
    #[arg(long, value_name = "RANK")]
    lora: Option<usize>,
}

fn main() -> ExitCode {
    allocator::keep_memory();
    let result = match Args::parse().command {
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
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", error.to_string().replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

/// Makes missing inputs in another process, so that the memory measured here is that of the work alone.
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
        lora: args.lora.map(|rank| LoraConfig {
            rank,
            alpha: 4.0 * rank as f64,
            dropout: 0.0,
            ..LoraConfig::default()
        }),
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

/// Prints a text; a closed pipe is no error, because the reader may have seen enough.
fn show(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
