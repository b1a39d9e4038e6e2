//! Reward models: a network with a scalar head, trained on preference pairs.

pub use collimate_losses::PairwiseLoss;
pub use collimate_recipes::reward_model::{
    RewardModelConfig, RewardModelData, RewardModelOutcome, train_reward_model, write_report,
};
pub use collimate_reward::*;
