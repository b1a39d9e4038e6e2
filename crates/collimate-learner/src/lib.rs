#![doc = include_str!("../README.md")]

mod batcher;
mod direct;
mod error;
mod logged;
mod metric;
mod output;
mod reward;
mod sft;
mod silent;
mod task;
mod trainee;

pub use batcher::Rows;
pub use direct::{DirectTask, ReferencedPair};
pub use error::LearnerError;
pub use logged::{LoggedMetric, logged_metrics};
pub use metric::RewardMetric;
pub use output::{ExampleOutput, PairOutput, RewardsInput};
pub use reward::RewardTask;
pub use sft::SftTask;
pub use silent::SilentRenderer;
pub use task::{Losses, Task};
pub use trainee::Trainee;
