#![doc = include_str!("../README.md")]

mod ask;
mod calibrated;
mod calibrated_plan;
mod calibration;
mod centre;
mod condition;
mod config;
mod cost;
mod counts;
mod error;
mod filter;
mod gain;
mod lengths;
mod pair_plan;
mod spread;
mod summary;

pub use ask::{ask_next, disagreement};
pub use calibrated::{CalibratedConfig, CalibratedFilter};
pub use calibrated_plan::CalibratedPlan;
pub use calibration::PairCalibration;
pub use centre::{ScoreCentre, probability};
pub use config::{Evidence, FilterConfig, MinCount, PairRule, Sides, Thresholds};
pub use cost::CostModel;
pub use counts::{LearningStatus, PairCounts, Spread, identify_status};
pub use error::StatusError;
pub use filter::{Decision, PairFilter};
pub use gain::{GainTest, gain_test};
pub use lengths::{LongerWins, longer_wins};
pub use pair_plan::PairPlan;
pub use summary::PlanSummary;
