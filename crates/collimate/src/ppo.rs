//! Reinforcement learning from any reward: PPO, RLOO and GRPO.
//!
//! [`train`] is the loop alone. [`reinforce`] compares policies trained on different rewards, in a
//! run folder.

pub use collimate_ppo::*;
pub use collimate_recipes::ppo::{
    CriticStart, PolicyConfig, PolicyData, PolicyInputs, PolicyOutcome, PolicyReport, RewardArm,
    TrainedPolicy, reinforce,
};
