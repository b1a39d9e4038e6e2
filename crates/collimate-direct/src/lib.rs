#![doc = include_str!("../README.md")]

mod sft;

pub use sft::{SftObjective, perplexity};
