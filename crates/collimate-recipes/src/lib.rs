#![doc = include_str!("../README.md")]

mod adaptation;
mod answers;
pub mod direct;
mod error;
mod groups;
mod implicit;
mod judge;
mod lengths;
mod own_pairs;
mod policy_training;
pub mod ppo;
mod report;
#[cfg(test)]
mod report_tests;
pub mod reward_model;
mod scores;
pub mod self_rewarding;
pub mod ser;
pub mod sera;
mod sft;
mod train_pairs;
pub mod world;

pub use adaptation::Adaptation;
pub use answers::{AnswerReport, ResponseSampling, Sample};
pub use error::RecipeError;
pub use judge::AnswerScorer;
pub use own_pairs::{OwnPairs, OwnPairsPlan, own_pairs};
pub use sft::{SftOutcome, SftPlan, fine_tune};
pub use train_pairs::TrainPairs;
