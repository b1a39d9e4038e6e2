//! Evaluates models, answers and judges: `collimate eval --help`.

mod accuracy;
mod answers;
pub(crate) mod cases;
mod choices;
mod exact;
mod instructions;
mod judge;
pub(crate) mod judge_args;
mod judging;
mod lists;
mod matching;
mod out;
mod pairs;
mod policy;
mod prompts;
mod scored;
mod sheet;
mod show;
mod stats;
mod table;
mod talks;
pub(crate) mod watched;

use clap::Subcommand;

use crate::common::Failure;

/// Evaluate reward models, language models, answers and judges.
///
/// Tables go to standard output; --out DIR saves them with every single judgement.
/// docs/how-to/evaluate.md explains each number.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Pairs(Box<pairs::Args>),
    Answers(Box<answers::Args>),
    Prompts(Box<prompts::Args>),
    Choices(Box<choices::Args>),
    Exact(Box<exact::Args>),
    Instructions(Box<instructions::Args>),
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Pairs(args) => pairs::run(args),
        Command::Answers(args) => answers::run(args),
        Command::Prompts(args) => prompts::run(args),
        Command::Choices(args) => choices::run(args),
        Command::Exact(args) => exact::run(args),
        Command::Instructions(args) => instructions::run(args),
    }
}
