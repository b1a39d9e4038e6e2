//! Self-Rewarding language models: `collimate self-rewarding --help`.

mod args;
mod files;
mod held;
mod ranked;
mod run;
mod world;

pub(crate) use args::{Args, SelfRewarding};
