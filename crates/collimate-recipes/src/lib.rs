#![doc = include_str!("../README.md")]

mod adaptation;
mod answers;
mod error;
mod judge;
pub mod ppo;
pub mod ser;
pub mod sera;
mod sft;

pub use adaptation::Adaptation;
pub use answers::{AnswerReport, ResponseSampling, Sample};
pub use error::RecipeError;
pub use judge::Judge;
pub use sft::{SftOutcome, SftPlan, fine_tune};
