//! Direct alignment with any loss: `cargo run --example dpo -- --help`. The code is `src/dpo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_examples::dpo::main()
}
