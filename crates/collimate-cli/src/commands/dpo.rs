//! Direct alignment with any loss: `cargo run --example dpo -- --help`.

use collimate::recipes::sera::Method;

use crate::commands::alignment;
use crate::common::Failure;

/// Align a language model with preference pairs: DPO, IPO, SLiC-HF, SimPO and a dozen more.
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world,
/// fine-tuned, aligned, and judged by the world's true reward. With --data and --model, your pairs
/// and your model folder are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    options: alignment::Options,
}

const DEFAULTS: alignment::Defaults = alignment::Defaults {
    name: "dpo",
    methods: &[Method::Base],
    iterations: 1,
    world_beta: 0.5,
};

/// Does what the options say.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    alignment::run(&args.options, DEFAULTS)
}
