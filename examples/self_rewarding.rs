//! Models that judge themselves: `cargo run --example self_rewarding -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_cli::command("self-rewarding")
}
