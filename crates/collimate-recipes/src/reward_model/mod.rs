//! A reward model from labelled pairs, trained once.
//!
//! This is plain reward modelling: every label is used, and nothing is labelled by the model itself.
//! [`ser`](crate::ser) is the method for few labels.

mod config;
mod report;
mod train;

pub use config::{RewardModelConfig, RewardModelData};
pub use report::write_report;
pub use train::{RewardModelOutcome, train_reward_model};
