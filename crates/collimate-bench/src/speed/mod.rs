//! How fast the trainers and the sampler are: one piece of work at a time, in a process of its own.
//!
//! A work's models and rows of token ids are prepared once, in a folder named by what they are made
//! from. The measuring process only loads them, and so can another library's script.

mod compare;
mod flops;
mod generate;
mod growth;
mod options;
mod peak;
mod ppo;
mod prepare;
mod report;
mod rows;
mod shapes;
mod timed;
mod train;

pub use compare::{CompareArgs, compare};
pub use growth::{GrowthArgs, growth};
pub use options::{Common, GenerateWork, PpoWork, TrainWork, Work};
pub use prepare::{Prepared, prepare, prepared};

use serde_json::Value;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Does the work and says how fast it went, as one JSON object.
///
/// # Errors
/// Files that cannot be read, too few rows, or what training says.
pub fn measure(work: &Work, from: &Prepared) -> Result<Value, Failure> {
    match work {
        Work::Sft(options) => train::sft(options, from),
        Work::Rm(options) => train::rm(options, from),
        Work::Dpo(options) => train::dpo(options, from),
        Work::Ppo(options) => ppo::ppo(options, from),
        Work::Generate(options) => generate::generate(options, from),
    }
}
