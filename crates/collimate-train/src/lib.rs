#![doc = include_str!("../README.md")]

mod checkpoint;
mod config;
mod context;
mod error;
mod files;
mod fit;
mod interrupt;
mod journal;
mod memory;
mod metrics;
mod objective;
mod optimizer;
mod order;
mod params;
mod plot;
mod progress;
mod report;
mod resume;
mod run;
mod running;
mod schedule;

pub use config::{AdamWConfig, MicroBatchOrder, Schedule, TrainConfig};
pub use context::FitContext;
pub use error::TrainError;
pub use files::{atomic_write, hash_file, hash_json};
pub use fit::{Best, Fitted, fit};
pub use interrupt::Interrupt;
pub use journal::StageState;
pub use memory::peak_memory_bytes;
pub use metrics::Metrics;
pub use objective::{Evaluation, Forwarded, Objective};
pub use order::{epoch_order, micro_batches};
pub use plot::{BarChart, BarSeries, Histogram, LineChart, LineSeries, Plot};
pub use progress::{Meter, Progress};
pub use report::Report;
pub use run::RunFolder;
