//! Reinforcement learning from a reward: `cargo run --example ppo -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collimate_cli::command("ppo")
}
