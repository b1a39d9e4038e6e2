//! Direct alignment with any loss: `cargo run --example dpo -- --help`.

use std::process::ExitCode;

use clap::Parser;
use collimate::recipes::sera::Method;

use crate::{alignment, common};

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

/// The program.
pub fn main() -> ExitCode {
    common::exit(|| {
        let args: Args = common::parse()?;
        alignment::run(&args.options, DEFAULTS)
    })
}
