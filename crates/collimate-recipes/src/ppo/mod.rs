//! Policies from rewards: trains the same start model by PPO, RLOO or GRPO against one or several
//! rewards, then compares the answers.
//!
//! [`reinforce`] trains and compares. [`write_report`] writes the run folder's `report.md`, plots
//! and `summary.json`. [`section`] returns a section for another recipe's report.

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
