//! A model is aligned to a function in Rust: `cargo run --example rule -- --help`. The code is `src/rule`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_examples::rule::main()
}
