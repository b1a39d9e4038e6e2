//! Writes texts with a saved model: `cargo run --example generate -- --help`. The code is `src/generate`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_examples::generate::main()
}
