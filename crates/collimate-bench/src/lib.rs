#![doc = include_str!("../README.md")]

pub mod speed;
mod trace;

pub use trace::{TraceOptions, trace};
