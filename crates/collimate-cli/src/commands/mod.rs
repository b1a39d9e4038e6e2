//! The commands of the program, a module each.

mod alignment;
mod chat;
mod data;
mod doctor;
mod dpo;
mod eval;
mod generate;
mod ppo;
mod report;
pub(crate) mod rule;
mod score;
mod self_rewarding;
mod ser;
mod sera;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::common::{self, Failure};

/// Aligns language models with preferences: reward models, direct alignment, reinforcement learning.
#[derive(Debug, Parser)]
#[command(name = "collimate", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dpo(Box<dpo::Args>),
    Sera(Box<sera::Args>),
    Ser(Box<ser::Args>),
    Ppo(Box<ppo::Args>),
    SelfRewarding(Box<self_rewarding::Args>),
    Rule(Box<rule::Args>),
    Generate(Box<generate::Args>),
    Score(Box<score::Args>),
    Eval(eval::Args),
    Chat(Box<chat::Args>),
    Data(data::Args),
    Report(report::Args),
    Doctor(doctor::Args),
}

impl Command {
    fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Dpo(args) => dpo::run(args),
            Self::Sera(args) => sera::run(args),
            Self::Ser(args) => ser::run(args),
            Self::Ppo(args) => ppo::run(args),
            Self::SelfRewarding(args) => self_rewarding::run(args),
            Self::Rule(args) => rule::run(args),
            Self::Generate(args) => generate::run(args),
            Self::Score(args) => score::run(args),
            Self::Eval(args) => eval::run(args),
            Self::Chat(args) => chat::run(args),
            Self::Data(args) => data::run(args),
            Self::Report(args) => report::run(args),
            Self::Doctor(args) => doctor::run(args),
        }
    }
}

/// Runs the command that the arguments name.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    common::exit(|| common::parse::<Cli>(arguments)?.command.run())
}
