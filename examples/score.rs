//! Scores texts with a saved model: `cargo run --example score -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_cli::command("score")
}
