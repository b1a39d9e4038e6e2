#![doc = include_str!("../README.md")]

mod ask;
mod calibrated;
mod calibration;
mod centre;
mod config;
mod cost;
mod counts;
mod error;
mod filter;
mod gain;
mod lengths;

pub use ask::{ask_next, disagreement};
pub use calibrated::{CalibratedConfig, CalibratedFilter};
pub use calibration::PairCalibration;
pub use centre::{ScoreCentre, probability};
pub use config::{Evidence, FilterConfig, MinCount, PairRule, Sides, Thresholds};
pub use cost::CostModel;
pub use counts::{LearningStatus, PairCounts, Spread, identify_status};
pub use error::StatusError;
pub use filter::{Decision, PairFilter};
pub use gain::{GainTest, gain_test};
pub use lengths::{LongerWins, longer_wins};
