//! Evaluates models, answers and judges: `cargo run --example eval -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_cli::command("eval")
}
