#![doc = include_str!("../README.md")]

mod centre;
mod config;
mod cost;
mod counts;
mod error;
mod filter;

pub use centre::{ScoreCentre, probability};
pub use config::{Evidence, FilterConfig, MinCount, PairRule, Sides, Thresholds};
pub use cost::CostModel;
pub use counts::{LearningStatus, PairCounts, Spread, identify_status};
pub use error::StatusError;
pub use filter::{Decision, PairFilter};
