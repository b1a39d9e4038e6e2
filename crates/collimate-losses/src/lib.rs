#![doc = include_str!("../README.md")]

mod error;
mod nll;
mod pairwise;
mod reduction;

pub use error::LossError;
pub use nll::token_nll;
pub use pairwise::PairwiseLoss;
pub use reduction::{mean_over, sum};
