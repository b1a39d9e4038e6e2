#![doc = include_str!("../README.md")]

mod allocator;
mod card;
mod commands;
mod common;
mod files;
mod job;
mod lengths;
mod line;
mod loading;
mod names;
mod options;
mod own;
mod policy;
mod preview;
mod rendering;
mod runs;
mod sampling;
mod scorer;
mod start;
mod stored;
mod templates;
mod trl_rows;

use std::process::ExitCode;

pub use commands::rule::rules;

/// Runs `collimate` with the arguments of this process.
pub fn main() -> ExitCode {
    commands::main(std::env::args_os())
}
