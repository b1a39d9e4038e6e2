//! Checks data files, shows their tokens, and converts them.

mod advice;
mod check;
mod convert;
mod convert_ranked;
mod counts;
mod facts;
mod lines;
mod paint;
mod read;
mod show;
mod show_tokens;
mod spans;
mod tokens;

use clap::Subcommand;

use crate::common::Failure;

/// Look at data files before training: check their rows, show their tokens, or convert them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(Box<check::Args>),
    ShowTokens(Box<show_tokens::Args>),
    Convert(Box<convert::Args>),
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::ShowTokens(args) => show_tokens::run(args),
        Command::Convert(args) => convert::run(args),
    }
}
