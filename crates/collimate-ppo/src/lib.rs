#![doc = include_str!("../README.md")]

mod actor_critic;
mod advantage;
mod config;
mod error;
mod kl;
pub mod metrics;
mod outcome;
mod reward;
mod rollout;
mod scaling;
mod state;
mod surrogate;
mod targets;
mod task;
mod train;
mod update;
mod write;

pub use actor_critic::ActorCritic;
pub use advantage::{
    Advantages, explained_variance, gae, grpo_advantages, rloo_advantages, whiten,
};
pub use config::{CriticConfig, Estimator, PpoConfig};
pub use error::PpoError;
pub use kl::{KlControl, KlEstimator, KlPlacement, KlUnit};
pub use outcome::{Trained, WatchedAnswer};
pub use reward::{MissingEos, RewardConfig, token_rewards};
pub use scaling::{RewardScaling, RunningMoments};
pub use surrogate::{clipped_policy_loss, clipped_value_loss, kl_loss};
pub use task::{KlReference, PpoTask};
pub use train::train;
