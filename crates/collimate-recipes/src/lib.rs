#![doc = include_str!("../README.md")]

mod error;
pub mod ser;
mod sft;

pub use error::RecipeError;
pub use sft::{SftOutcome, SftPlan, fine_tune};
