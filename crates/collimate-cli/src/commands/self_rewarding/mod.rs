//! Self-Rewarding language models: `cargo run --example self_rewarding -- --help`.

mod args;
mod files;
mod run;
mod world;

pub(crate) use args::Args;
