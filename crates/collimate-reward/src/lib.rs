#![doc = include_str!("../README.md")]

mod model;
mod objective;
mod pack;
mod score;

pub use model::RewardModel;
pub use objective::RewardObjective;
pub use score::{RewardScorer, score_pairs, score_sequences};
