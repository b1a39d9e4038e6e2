//! Direct alignment that reviews its own pairs: `cargo run --example sera -- --help`.

use collimate::recipes::sera::Method;

use crate::commands::alignment;
use crate::common::Failure;

/// Align a language model, let it select the pairs that it has learnt best and write pairs of its
/// own (SeRA, arXiv:2410.09362), and compare with the same loss without that.
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world,
/// fine-tuned, aligned over the same pairs with the same number of steps (base loss, iterative form,
/// SeRA, SeRA with the share of own pairs that does best on validation), and judged by the world's
/// true reward. With --data and --model, your pairs
/// and your model folder are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
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

/// Does what the options say.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    alignment::run(&args.options, DEFAULTS)
}
