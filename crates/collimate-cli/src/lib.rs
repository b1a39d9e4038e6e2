#![doc = include_str!("../README.md")]

mod allocator;
mod card;
mod commands;
mod common;
mod files;
mod job;
mod lengths;
mod line;
mod options;
mod own;
mod policy;
mod preview;
mod rendering;
mod runs;
mod sampling;
mod scorer;
mod start;
mod templates;
mod trl_rows;

use std::ffi::OsString;
use std::process::ExitCode;

pub use commands::rule::rules;

/// Runs `collimate` with the arguments of this process.
pub fn main() -> ExitCode {
    commands::main(std::env::args_os())
}

/// Runs `collimate NAME` with the arguments of this process, for a program that is one command.
pub fn command(name: &str) -> ExitCode {
    let program = [OsString::from("collimate"), OsString::from(name)];
    commands::main(program.into_iter().chain(std::env::args_os().skip(1)))
}
