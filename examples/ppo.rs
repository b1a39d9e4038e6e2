//! Reinforcement learning from a reward: `cargo run --example ppo -- --help`. The code is `src/ppo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_examples::ppo::main()
}
