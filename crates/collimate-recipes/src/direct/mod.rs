//! Direct alignment: one training of a policy on preference pairs, with any loss.
//!
//! [`align`] trains a policy on pairs. [`align_unpaired`] trains it with KTO on single completions
//! that are labelled good or bad. [`sera`](crate::sera) reviews the pairs between trainings and
//! adds pairs of the policy's own answers.

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
