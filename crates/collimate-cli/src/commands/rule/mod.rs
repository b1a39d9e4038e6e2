//! Aligns a language model to a preference written in Rust: `collimate rule --help`.

mod args;
pub(crate) mod pairs;
pub mod rules;
mod run;

pub(crate) use args::{Args, ByRule};
