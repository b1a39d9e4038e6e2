#![doc = include_str!("../README.md")]

mod context;
mod error;
mod files;
mod folder;
mod html;
mod journal;
mod markdown;
mod memory;
mod metrics;
mod plot;
mod report;
mod template;
mod unstarted;

pub use context::RunContext;
pub use error::RunError;
pub use files::hash_file;
pub use folder::RunFolder;
pub use journal::StageState;
pub use memory::peak_memory_bytes;
pub use metrics::curve;
pub use plot::{BarChart, BarSeries, Histogram, LineChart, LineSeries, Plot};
pub use report::{Figures, Report, Templates};
