#![doc = include_str!("../README.md")]

mod losses;
mod model;
mod noise;
mod objective;
mod pack;
mod score;

pub use losses::{RewardLosses, reward_losses};
pub use model::RewardModel;
pub use noise::TokenNoise;
pub use objective::RewardObjective;
pub use pack::pair_batch;
pub use score::{
    RewardScorer, score_pairs, score_pairs_with, score_sequences, score_sequences_with,
};
