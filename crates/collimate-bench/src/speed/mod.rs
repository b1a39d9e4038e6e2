//! Speed of the trainers and the sampler: one piece of work at a time, each in its own process.
//!
//! The models and rows of token ids for a work are prepared once, in a folder whose name comes from
//! the inputs. The measuring process only loads them, and so can another library's script.

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
pub use options::{Common, GenerateWork, GenerationWeights, NumberType, PpoWork, TrainWork, Work};
pub use prepare::{Prepared, prepare, prepared};

use serde_json::Value;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Does the work and returns the measurement as one JSON object.
///
/// # Errors
/// Returns an error if files cannot be read, if there are too few rows, or if training fails.
pub fn measure(work: &Work, from: &Prepared) -> Result<Value, Failure> {
    match work {
        Work::Sft(options) => train::sft(options, from),
        Work::Rm(options) => train::rm(options, from),
        Work::Dpo(options) => train::dpo(options, from),
        Work::Ppo(options) => ppo::ppo(options, from),
        Work::Generate(options) => generate::generate(options, from),
    }
}
