#![doc = include_str!("../README.md")]

mod adaptation;
mod error;
pub mod ser;
pub mod sera;
mod sft;

pub use adaptation::Adaptation;
pub use error::RecipeError;
pub use sft::{SftOutcome, SftPlan, fine_tune};
