//! Writes texts with a saved model: `cargo run --example generate -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_cli::command("generate")
}
