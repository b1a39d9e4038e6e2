//! Prints the options of a command: `collimate config --help`.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::Value;

use super::{dpo, kto, ppo, reward, rule, self_rewarding, ser, sera, sft};
use crate::common::{self, Failure};
use crate::options::{Docs, Layered};

/// Print the options of a command with their descriptions, or their JSON schema.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print every option with its value and description, in the syntax that --config reads
    Print(Print),
    /// Print a JSON schema of the options, which editors use to complete and check configuration
    /// files
    Schema(Schema),
}

#[derive(Debug, ClapArgs)]
struct Print {
    /// Syntax to print; only YAML includes the descriptions
    #[arg(long = "as", value_enum, default_value_t = Syntax::Yaml)]
    syntax: Syntax,
    /// Print the defaults for your own data and model; the file must then name both
    #[arg(long)]
    own: bool,
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, ClapArgs)]
struct Schema {
    #[command(subcommand)]
    of: Of,
}

/// Syntax of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Syntax {
    /// With a comment for every option
    Yaml,
    /// Without comments
    Json,
}

/// A command with a configuration. Flags after the command change the values.
#[derive(Debug, Subcommand)]
enum Of {
    Sft(Box<sft::Args>),
    Reward(Box<reward::Args>),
    Dpo(Box<dpo::Args>),
    Kto(Box<kto::Args>),
    Sera(Box<sera::Args>),
    Ser(Box<ser::Args>),
    Ppo(Box<ppo::Args>),
    SelfRewarding(Box<self_rewarding::Args>),
    Rule(Box<rule::Args>),
}

/// Calls a method of the options of any command.
macro_rules! each {
    ($of:expr, $options:ident => $call:expr) => {
        match $of {
            Of::Sft(args) => {
                let $options = &args.options;
                $call
            }
            Of::Reward(args) => {
                let $options = &args.options;
                $call
            }
            Of::Dpo(args) => {
                let $options = &args.options;
                $call
            }
            Of::Kto(args) => {
                let $options = &args.options;
                $call
            }
            Of::Sera(args) => {
                let $options = &args.options;
                $call
            }
            Of::Ser(args) => {
                let $options = &args.options;
                $call
            }
            Of::Ppo(args) => {
                let $options = &args.options;
                $call
            }
            Of::SelfRewarding(args) => {
                let $options = &args.options;
                $call
            }
            Of::Rule(args) => {
                let $options = &args.options;
                $call
            }
        }
    };
}

/// Returns the command whose options fit a configuration best, if it fits better than the command
/// `name`.
pub(crate) fn better_fit(config: &Value, name: &str) -> Option<String> {
    fn misfits<L: Layered>(config: &Value) -> (usize, &'static str) {
        (Docs::of::<L>().unknown(config), L::NAME)
    }
    let all = [
        misfits::<sft::Sft>(config),
        misfits::<reward::Reward>(config),
        misfits::<dpo::Dpo>(config),
        misfits::<kto::Kto>(config),
        misfits::<sera::Sera>(config),
        misfits::<ser::Ser>(config),
        misfits::<ppo::Ppo>(config),
        misfits::<self_rewarding::SelfRewarding>(config),
        misfits::<rule::ByRule>(config),
    ];
    let (own, _) = all.iter().find(|(_, of)| *of == name)?;
    let (least, best) = all.iter().min_by_key(|(count, _)| count)?;
    (least < own).then(|| best.replace('_', "-"))
}

/// Prints the options or their schema.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    common::print(&match &args.what {
        What::Print(Print { syntax, own, of }) => {
            each!(of, options => options.printed(*syntax, *own)?)
        }
        What::Schema(Schema { of }) => each!(of, options => options.schema()?),
    })
}
