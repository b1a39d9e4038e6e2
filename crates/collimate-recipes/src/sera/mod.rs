//! Direct alignment that reviews its own pairs (SeRA,
//! [arXiv:2410.09362](https://arxiv.org/abs/2410.09362)).
//!
//! A first training uses all pairs. Each later iteration keeps the pairs with the largest implicit
//! reward margins and adds pairs of the policy's own answers. It continues from the policy of the
//! iteration before, which is also its reference.
//!
//! [`align`] runs SeRA and its baselines over the same pairs, with the same number of steps.

mod align;
mod anchors;
mod config;
mod data;
mod devices;
mod gaps;
mod iterations;
mod lines;
mod method;
mod outcome;
mod overlap;
mod own;
mod pairing;
mod report;
mod review;
mod rewards;
pub(crate) mod session;
mod start;
mod sweep;

pub use crate::{AnswerReport, AnswerScorer, ResponseSampling, Sample};
pub use align::align;
pub use anchors::{Anchors, CompareDevices};
pub use config::{SeraConfig, Updates};
pub use data::SeraData;
pub use devices::DeviceReport;
pub use method::Method;
pub use outcome::{
    Agreement, Aligned, IterationReport, NoOwnPairs, Overlap, SelectionReport, SeraOutcome, Tried,
};
pub use report::{summary, write_report};
