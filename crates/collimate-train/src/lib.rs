#![doc = include_str!("../README.md")]

mod checkpoint;
mod config;
mod context;
mod error;
mod events;
mod fit;
mod hash;
mod interrupt;
mod loop_checkpoints;
pub mod metric_names;
mod metrics;
mod objective;
mod optimizer;
mod order;
mod params;
mod progress;
mod resume;
mod running;
mod schedule;
mod signals;
mod stepper;

pub use checkpoint::{Exact, first_difference};
pub use config::{AdamWConfig, MicroBatchOrder, Schedule, TrainConfig, check_stage};
pub use context::FitContext;
pub use error::TrainError;
pub use fit::{Best, Fitted, fit};
pub use hash::hash_json;
pub use interrupt::Interrupt;
pub use loop_checkpoints::{LoopCheckpoints, Restored};
pub use metrics::Metrics;
pub use objective::{Evaluation, Forwarded, Objective};
pub use order::{epoch_order, micro_batches};
pub use params::model_hash;
pub use progress::{Meter, Progress};
pub use stepper::{Stepper, clip_factor};
