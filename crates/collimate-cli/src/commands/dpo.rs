//! Direct alignment with any loss: `collimate dpo --help`.

use collimate::prelude::Device;
use collimate::recipes::sera::Method;

use crate::commands::alignment::{self, Config};
use crate::common::Failure;
use crate::options::{Flag, Given, Layered, Options, RunArgs};

/// Align a language model with preference pairs: DPO, IPO, SLiC-HF, SimPO and a dozen more.
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world,
/// fine-tuned, aligned, and judged by the world's true reward. With --data and --model, your pairs
/// and your model folder are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Dpo>,
}

const DEFAULTS: alignment::Defaults = alignment::Defaults {
    name: "dpo",
    methods: &[Method::Base],
    iterations: 1,
    world_beta: 0.5,
};

/// The command `dpo`.
#[derive(Debug)]
pub(crate) struct Dpo;

impl Layered for Dpo {
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
