//! Direct alignment that reviews its own pairs: `cargo run --example sera -- --help`.

use std::process::ExitCode;

use clap::Parser;
use collimate::recipes::sera::Method;

use crate::{alignment, common};

/// Align a language model, let it select the pairs that it has learnt best and write pairs of its
/// own (SeRA, arXiv:2410.09362), and compare with the same loss without that.
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world,
/// fine-tuned, aligned over the same pairs with the same number of steps (base loss, iterative form,
/// SeRA, SeRA with the share of own pairs that does best on validation), and judged by the world's
/// true reward. With --data and --model, your pairs
/// and your model folder are used.
#[derive(Debug, Parser)]
#[command(name = "sera", version, allow_negative_numbers = true)]
struct Args {
    #[command(flatten)]
    options: alignment::Options,
}

const DEFAULTS: alignment::Defaults = alignment::Defaults {
    name: "sera",
    methods: &[
        Method::Base,
        Method::Iterative,
        Method::Sera,
        Method::BestSera,
    ],
    iterations: 3,
    world_beta: 2.0,
};

/// The program.
pub fn main() -> ExitCode {
    common::exit(|| {
        let args: Args = common::parse()?;
        alignment::run(&args.options, DEFAULTS)
    })
}
