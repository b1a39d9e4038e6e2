//! Self-evolved reward learning ([arXiv:2411.00418](https://arxiv.org/abs/2411.00418)): a reward
//! model labels the pool, a filter that depends on its learning status keeps the labels that are
//! likely right, and the model is trained on them, loop after loop.
//!
//! [`evolve`] does it over a [`SerData`], [`evolve_round`] goes on over new pairs, such as a policy's own; [`write_report`] makes the run folder's
//! `report.md`, plots and `summary.json` of what came out.

mod config;
mod controls;
mod data;
mod final_test;
mod fingerprint;
mod loops;
mod outcome;
mod overlap;
mod report;
mod round;
mod score;
mod session;
mod summary;
mod warnings;

pub use crate::Adaptation;
pub use config::{Control, RetrainFrom, SerConfig};
pub use data::{SerData, SplitPlan};
pub use loops::evolve;
pub use outcome::{
    AskNext, EvolvedReward, LoopReport, ModelReport, ModelTest, PoolReport, SelfLabel, SerOutcome,
    Significance, Steps, TrainedReward,
};
pub use report::{ReportNotes, write_report, write_report_with};
pub use round::{RoundData, SerRound, evolve_round};
pub use summary::summary;
