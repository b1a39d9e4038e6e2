//! A reward model evolves from a few labels, and a policy learns from it: `cargo run --example ser -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_cli::command("ser")
}
