//! Direct alignment with any loss: `cargo run --example dpo -- --help`.

#[path = "../alignment/mod.rs"]
mod alignment;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/options.rs"]
mod options;
#[path = "../common/runs.rs"]
mod runs;

use std::process::ExitCode;

use clap::Parser;
use collimate::recipes::sera::Method;

/// Align a language model with preference pairs: DPO, IPO, SLiC-HF, SimPO and a dozen more.
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world,
/// fine-tuned, aligned, and judged by the world's true reward. With --data and --model, your pairs
/// and your model folder are used.
#[derive(Debug, Parser)]
#[command(name = "dpo", version, allow_negative_numbers = true)]
struct Args {
    #[command(flatten)]
    options: alignment::Options,
}

const DEFAULTS: alignment::Defaults = alignment::Defaults {
    name: "dpo",
    methods: &[Method::Base],
    iterations: 1,
    world_beta: 0.5,
};

fn main() -> ExitCode {
    common::exit(|| {
        let args: Args = common::parse()?;
        alignment::run(&args.options, DEFAULTS)
    })
}
