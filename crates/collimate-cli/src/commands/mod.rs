//! The commands of the program, one module each.

mod align;
mod chat;
mod completions;
mod config;
mod data;
mod doctor;
mod dpo;
mod eval;
mod export;
pub(crate) mod generate;
mod kto;
#[cfg(feature = "label")]
mod label;
mod ppo;
mod report;
mod reward;
pub(crate) mod rule;
mod score;
mod self_rewarding;
mod ser;
mod sera;
mod sft;

use std::ffi::OsString;
use std::process::ExitCode;

pub(crate) use config::{Syntax, better_fit};

use clap::{Parser, Subcommand};

use crate::common::{self, Failure};
use crate::line;

/// Aligns language models with preferences: reward models, direct alignment, reinforcement learning.
#[derive(Debug, Parser)]
#[command(name = "collimate", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Sft(Box<sft::Args>),
    Reward(Box<reward::Args>),
    Dpo(Box<dpo::Args>),
    Kto(Box<kto::Args>),
    Sera(Box<sera::Args>),
    Ser(Box<ser::Args>),
    Ppo(Box<ppo::Args>),
    SelfRewarding(Box<self_rewarding::Args>),
    Rule(Box<rule::Args>),
    Generate(Box<generate::Args>),
    Score(Box<score::Args>),
    Eval(eval::Args),
    Export(export::Args),
    Config(config::Args),
    Completions(completions::Args),
    Chat(Box<chat::Args>),
    Data(data::Args),
    #[cfg(feature = "label")]
    Label(Box<label::Args>),
    Report(report::Args),
    Doctor(doctor::Args),
}

impl Command {
    fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Sft(args) => args.options.execute(),
            Self::Reward(args) => args.options.execute(),
            Self::Dpo(args) => args.options.execute(),
            Self::Kto(args) => args.options.execute(),
            Self::Sera(args) => args.options.execute(),
            Self::Ser(args) => args.options.execute(),
            Self::Ppo(args) => args.options.execute(),
            Self::SelfRewarding(args) => args.options.execute(),
            Self::Rule(args) => args.options.execute(),
            Self::Generate(args) => generate::run(args),
            Self::Score(args) => score::run(args),
            Self::Eval(args) => eval::run(args),
            Self::Export(args) => export::run(args),
            Self::Config(args) => config::run(args),
            Self::Completions(args) => completions::run(args),
            Self::Chat(args) => chat::run(args),
            Self::Data(args) => data::run(args),
            #[cfg(feature = "label")]
            Self::Label(args) => label::run(args),
            Self::Report(args) => report::run(args),
            Self::Doctor(args) => doctor::run(args),
        }
    }
}

/// Runs the command that the arguments name.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    common::exit(|| line::parse::<Cli>(arguments)?.command.run())
}
