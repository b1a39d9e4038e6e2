//! Completions for shells: `collimate completions --help`.

use clap::{Args as ClapArgs, CommandFactory};
use clap_complete::Shell;

use crate::common::{self, Failure};

/// Print a script that completes commands and options in a shell.
///
/// For bash: collimate completions bash > ~/.local/share/bash-completion/completions/collimate
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Shell to complete in
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completion script.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut super::Cli::command(),
        "collimate",
        &mut script,
    );
    common::print(&String::from_utf8_lossy(&script))
}
