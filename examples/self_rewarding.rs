//! Models that judge themselves: `cargo run --example self_rewarding -- --help`. The code is `src/self_rewarding`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_examples::self_rewarding::main()
}
