//! Evaluates models, answers and judges: `cargo run --example eval -- --help`. The code is `src/eval`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_examples::eval::main()
}
