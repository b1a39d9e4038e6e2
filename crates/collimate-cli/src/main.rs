//! The program `collimate`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_cli::main()
}
