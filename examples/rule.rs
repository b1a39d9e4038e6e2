//! A model is aligned to a function in Rust: `cargo run --example rule -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_cli::command("rule")
}
