//! Policies from rewards: the same start trained by PPO (or RLOO, GRPO) against one reward or several,
//! then their answers compared.
//!
//! [`reinforce`] does it; [`section`] adds what came out to a report, [`summary`] to a summary.

mod config;
mod data;
mod outcome;
mod reinforce;
mod report;

pub use config::{CriticStart, PolicyConfig};
pub use data::{PolicyData, PolicyInputs, RewardArm};
pub use outcome::{PolicyOutcome, PolicyReport, TrainedPolicy};
pub use reinforce::reinforce;
pub use report::{section, summary};
