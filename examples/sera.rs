//! Direct alignment that reviews its own pairs: `cargo run --example sera -- --help`. The code is `src/sera`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_examples::sera::main()
}
