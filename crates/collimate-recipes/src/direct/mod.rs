//! Direct alignment: one training of a policy on preference pairs, with any loss.
//!
//! [`align`] trains a policy on pairs; [`align_unpaired`] trains it on single completions that are
//! labelled good or bad (KTO, BCO). [`sera`](crate::sera) reviews pairs between trainings and writes
//! pairs of its own.

mod align;
mod config;
mod measure;
mod outcome;
mod report;
mod unpaired;

pub use align::align;
pub use config::{AlignConfig, AlignData, UnpairedConfig, UnpairedData};
pub use outcome::AlignOutcome;
pub use report::{summary, write_report};
pub use unpaired::align_unpaired;
