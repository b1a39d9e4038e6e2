//! Policies from rewards: the same start trained by PPO (or RLOO, GRPO) against one reward or several,
//! then their answers compared.
//!
//! [`reinforce`] does it; [`write_report`] makes the run folder's `report.md`, plots and `summary.json`, and
//! [`section`] a part of another recipe's report.

mod config;
mod data;
mod duels;
mod outcome;
mod reinforce;
mod report;

pub use config::{CriticStart, PolicyConfig};
pub use data::{PolicyData, PolicyInputs, RewardArm};
pub use duels::{Duel, DuelNumbers};
pub use outcome::{PolicyOutcome, PolicyReport, TrainedPolicy};
pub use reinforce::reinforce;
pub use report::{section, summary, write_report};
