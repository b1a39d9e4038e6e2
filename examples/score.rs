//! Scores texts with a saved model: `cargo run --example score -- --help`. The code is `src/score`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_examples::score::main()
}
