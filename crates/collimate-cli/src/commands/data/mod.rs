//! Checks data files, shows their tokens, converts them, and filters them by scores.

mod advice;
mod check;
mod convert;
mod convert_ranked;
mod counts;
mod facts;
mod filter;
mod filter_rows;
mod filter_scores;
mod lines;
mod paint;
mod read;
mod show;
mod show_tokens;
mod spans;
mod spill;
mod tally;
mod token_tally;
mod tokens;

use clap::Subcommand;

use crate::common::Failure;

/// Look at data files before training: check their rows, show their tokens, convert
/// them, or filter them by scores.
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
    Filter(Box<filter::Args>),
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::ShowTokens(args) => show_tokens::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Filter(args) => filter::run(args),
    }
}
