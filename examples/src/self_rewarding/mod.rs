//! Self-Rewarding language models: `cargo run --example self_rewarding -- --help`.

mod args;
mod files;
mod run;
mod world;

use std::process::ExitCode;

use crate::common;
use args::Args;

/// The program.
pub fn main() -> ExitCode {
    common::exit(|| run::run(&common::parse::<Args>()?))
}
