//! Direct alignment with any loss: `cargo run --example dpo -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_cli::command("dpo")
}
