//! Direct alignment that reviews its own pairs: `cargo run --example sera -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_cli::command("sera")
}
