//! The code of the examples, one module each, and what they share.
//!
//! They are a library so that what is generic (the training loops, once per kind of model) is
//! compiled once and not in every example; the programs beside this folder only call `main`.

mod alignment;
mod allocator;
mod common;
pub mod dpo;
pub mod eval;
pub mod generate;
mod job;
mod lengths;
mod options;
mod policy;
pub mod ppo;
pub mod rule;
mod runs;
pub mod score;
mod scorer;
pub mod self_rewarding;
pub mod ser;
pub mod sera;
