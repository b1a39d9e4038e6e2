//! Text generation with a decoder: sampling, stop texts, and batches that rows enter and leave.

mod batch;
mod defaults;
mod generator;
mod lanes;
mod row;
pub mod sample;
mod text;
mod watch;

pub use defaults::FolderSampling;
pub use generator::{BatchLimits, TextGenerator};
pub use watch::{GenerationProgress, Place, Watch};
