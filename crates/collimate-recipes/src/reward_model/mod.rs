//! A reward model, trained once on labelled pairs.
//!
//! This is plain reward modelling: every label is used, and the model labels nothing itself. Use
//! [`ser`](crate::ser) if there are few labels.

mod config;
mod report;
mod train;

pub use config::{RewardModelConfig, RewardModelData};
pub use report::write_report;
pub use train::{RewardModelOutcome, train_reward_model};
