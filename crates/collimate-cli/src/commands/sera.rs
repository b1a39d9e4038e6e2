//! Direct alignment that reviews its own pairs: `collimate sera --help`.

use collimate::prelude::Device;
use collimate::recipes::sera::Method;

use crate::commands::alignment::{self, Config};
use crate::common::Failure;
use crate::options::{Flag, Given, Layered, Options, RunArgs};

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
    pub(crate) options: Options<Sera>,
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

/// The command `sera`.
#[derive(Debug)]
pub(crate) struct Sera;

impl Layered for Sera {
    type Config = Config;
    const NAME: &'static str = DEFAULTS.name;
    const OWN: &'static str = "data";

    fn defaults(own: bool) -> Result<Config, Failure> {
        Ok(DEFAULTS.config(own))
    }

    fn flags() -> Vec<Flag<Config>> {
        alignment::flags()
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        alignment::settle(config, given)
    }

    fn run(config: &Config, run: &RunArgs, device: &Device) -> Result<(), Failure> {
        alignment::run(DEFAULTS.name, config, run, device)
    }
}
