#![doc = include_str!("../README.md")]

mod agreement;
mod bootstrap;
mod config;
mod ensemble;
mod error;
mod keep;
mod likelihood;
mod plan;
mod reward;
mod select;

pub use agreement::{PolicyAgreement, policy_agreement};
pub use bootstrap::{
    BestWorst, Bootstrapped, CutPolicy, NoPairReason, Response, ResponseCounts, best_and_worst,
    bootstrap_pairs, nested_pairs,
};
pub use config::{IrmConfig, MarginReference, share_count, share_count_up_to};
pub use ensemble::ensemble;
pub use error::IrmError;
pub use keep::{KeepRule, keep_k};
pub use likelihood::{rewards_with_start, unlikely_responses};
pub use plan::KeepPlan;
pub use reward::{ImplicitReward, Logps};
pub use select::{random_k, top_k};
